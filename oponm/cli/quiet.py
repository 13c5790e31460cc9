"""Silence for what libraries say about themselves."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """Keep Lightning's notices about hardware, tips and worker processes off the terminal."""
    from oponm.training.quiet import CHATTY, MODULES

    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=MODULES)


def quiet_process() -> None:
    """Leave it to the first process of several to say what all of them would; errors are said by each."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
