"""Silence for what libraries say about themselves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

CHATTY = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
MODULES = "pytorch_lightning|lightning_fabric|torch.utils.data"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notices about hardware, tips and worker processes out of a program's output, meanwhile."""
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
    """Keep those notices off the terminal from now on, in a program of its own."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=MODULES)


def first_alone_speaks() -> None:
    """Leave it to the first process of several to say what all of them would; errors are said by each."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
