"""Opens the loggers of a run, and closes them also after a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from oponm.errors import InputError
from oponm.training.build import build_each


@contextmanager
def open_loggers(named: DictConfig, given: Sequence[Logger] | None = None) -> Iterator[list[Logger]]:
    """Make the loggers under ``logger``; those that can be closed are closed at the end, also after a failure.

    Args:
        named: the settings of each logger, by its name.
        given: loggers in place of them.

    Raises:
        InputError: if Weights & Biases needs an account and there is none.
    """
    if given is None:
        wandb = named.get("wandb")
        if OmegaConf.is_dict(wandb) and not wandb.offline:
            _require_account()
        given = build_each("logger", named, Logger)
    loggers = list(given)
    failed = True
    try:
        yield loggers
        failed = False
    finally:
        for logger in loggers:
            if close := getattr(logger, "close", None):
                close(failed)


def _require_account() -> None:
    """Check only that there is a key; a server that refuses it does so when the run begins, which does not stop it."""
    if os.environ.get("WANDB_MODE", "online") != "online":
        return
    try:
        import wandb

        known = wandb.login(prompt=False, verify=False)
    except Exception:  # the logger meets the error again, and continues offline
        known = True
    if not known:
        raise InputError("wandb has no API key: run 'wandb login', or set logger.wandb.offline=true", "logger")
