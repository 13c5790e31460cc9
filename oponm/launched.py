"""What the environment says of this process: whether a launcher has started it as one of several."""

from __future__ import annotations

import os


def launched_elsewhere() -> bool:
    """Whether ``torchrun`` or ``srun`` has started this process as one of several.

    Example:
        >>> launched_elsewhere()
        False
    """
    if "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", 1)) > 1
    return int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ


def restarted() -> bool:
    """Whether ``torchrun`` has started this process anew, after one of the run had died.

    Example:
        >>> restarted()
        False
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
