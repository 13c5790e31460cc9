"""The loggers of a run, closed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from oponm.errors import InputError
from oponm.logging.guard import never_stopping
from oponm.logging.wandb_logger import WandbLogger


@contextmanager
def open_loggers(config: DictConfig) -> Iterator[list[Logger]]:
    """Make the loggers under ``logger``, and finish the Weights & Biases run at the end, also after a failure.

    Raises:
        InputError: if Weights & Biases asks for an account and there is none.
    """
    for name, settings in config.logger.items():
        if not OmegaConf.is_dict(settings):
            raise InputError(f"must be the settings of a logger, got {settings!r}", f"logger.{name}")
    if "wandb" in config.logger and not config.logger.wandb.offline:
        _require_account()
    loggers = [instantiate(settings, _convert_="all") for settings in config.logger.values()]
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.close(failed)


def _require_account() -> None:
    """Ask for a key only; whether a server takes it shows when the run begins, and does not stop it."""
    if os.environ.get("WANDB_MODE", "online") != "online":
        return
    known = True
    with never_stopping("wandb"):
        import wandb

        known = wandb.login(prompt=False, verify=False)
    if not known:
        raise InputError("wandb has no API key: run 'wandb login', or set logger.wandb.offline=true", "logger")
