"""The loggers of a run, closed whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, WandbLogger

from oponm.errors import InputError


@contextmanager
def open_loggers(config: DictConfig) -> Iterator[list[Logger]]:
    """Make the loggers under ``logger``, and finish the Weights & Biases run at the end, also after a failure.

    Raises:
        InputError: if Weights & Biases asks for an account and there is none.
    """
    if "wandb" in config.logger and not config.logger.wandb.offline:
        _require_account()
    for name, settings in config.logger.items():
        if not OmegaConf.is_dict(settings):
            raise InputError(f"must be the settings of a logger, got {settings!r}", f"logger.{name}")
    loggers = [instantiate(settings) for settings in config.logger.values()]
    try:
        yield loggers
    finally:
        if any(isinstance(logger, WandbLogger) for logger in loggers):
            import wandb

            wandb.finish()


def _require_account() -> None:
    import wandb

    if os.environ.get("WANDB_MODE", "online") == "online" and not wandb.login(prompt=False):
        raise InputError("wandb has no API key: run 'wandb login', or set logger.wandb.offline=true", "logger")
