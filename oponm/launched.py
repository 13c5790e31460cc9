"""Reads from environment variables whether, and how, this process was started as one of several."""

from __future__ import annotations

import os

OWN_JOB = "oponm-"  # beginning of the names of the jobs that trainer.devices starts
FIRST_SPECIAL_STEP = 0xFFFFFFF0  # SLURM's interactive, batch and extern steps, and steps that have not begun


def launched_elsewhere() -> bool:
    """Whether an external launcher, ``torchrun`` or ``srun``, has started this process as one of several.

    Example:
        >>> launched_elsewhere()
        False
    """
    if "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", 1)) > 1
    several = int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ
    return several and _is_step(os.environ.get("SLURM_STEP_ID", os.environ.get("SLURM_STEPID", "")))


def _is_step(number: str) -> bool:
    """Whether a step of a SLURM job is srun's; those of the batch script and the like have high numbers or none.

    Example:
        >>> [_is_step(number) for number in ("0", "", "batch", "4294967291")]
        [True, False, False, False]
    """
    return number.isdecimal() and int(number) < FIRST_SPECIAL_STEP


def restarted() -> bool:
    """Whether ``torchrun`` has restarted this process, after a process of the run had died.

    Example:
        >>> restarted()
        False
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def started_here() -> bool:
    """Whether ``trainer.devices``, and no external launcher, has started this process as one of several.

    Example:
        >>> started_here()
        False
    """
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(OWN_JOB)
