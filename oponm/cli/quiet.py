"""Silence for what libraries say about themselves."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """Keep Lightning's notices about hardware, tips and worker processes off the terminal."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils.data")


def quiet_process() -> None:
    """Leave it to the first process of several to say what all of them would; errors are said by each."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
