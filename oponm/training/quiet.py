"""Silences notices of libraries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

CHATTY = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
MODULES = "pytorch_lightning|lightning_fabric|torch.utils.data"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's notices about hardware, tips and worker processes inside the block."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=MODULES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def quiet_libraries() -> None:
    """Silence those notices for the rest of the program."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=MODULES)


def first_alone_speaks() -> None:
    """Let only the first of several processes log what all would log; errors are logged by each."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
