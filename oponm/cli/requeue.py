"""Handles jobs that a scheduler runs again: SLURM's requeue, submitit's, and torchrun's restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from omegaconf import DictConfig

AGAIN = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)  # sent by SLURM and submitit before the end of a job's time


def requeue(stopped: int) -> None:
    """Requeue the SLURM job of this process, if the run was ended by a signal that warns of the job's time limit.

    For a job of submitit, submitit's own handler requeues it, as it counts the requeues and keeps the job's state.
    Other SLURM jobs are requeued by ``scontrol requeue``.

    Args:
        stopped: number of the signal that ended the run; only those in :data:`WARNINGS` requeue.
    """
    if stopped not in WARNINGS:
        return
    handler = signal.getsignal(stopped)
    if callable(handler) and type(getattr(handler, "__self__", None)).__module__.startswith("submitit"):
        handler(stopped, None)  # ends the process
    elif job := os.environ.get("SLURM_JOB_ID"):
        print(f"oponm: {_requeued(job)}", file=sys.stderr)


def _requeued(job: str) -> str:
    """Ask SLURM to requeue a job; returns a message about the result."""
    by_hand = f"could not requeue job {job}, 'scontrol requeue {job}' does"
    try:
        answer = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{by_hand} (scontrol: {getattr(error, 'strerror', None) or 'no answer'})"
    said = " ".join(answer.stderr.split())
    if answer.returncode:
        return f"{by_hand} (scontrol: {said or f'code {answer.returncode}'})"
    return f"requeued job {job} {said}".rstrip()


def resume_if_run_again(config: DictConfig, again: bool = False) -> DictConfig:
    """Set the key ``resume`` to ``auto`` if a scheduler runs the job again and ``resume`` is not set.

    Args:
        config: config of the job, changed in place.
        again: True if the caller knows that the job runs again; if False, the scheduler's environment variables decide.

    Returns:
        The same config.

    Example:
        >>> from omegaconf import OmegaConf
        >>> resume_if_run_again(OmegaConf.create({"resume": None}), again=True)
        {'resume': 'auto'}
    """
    counts: list[Any] = [os.environ.get(name) for name in AGAIN]
    again = again or any(count and count.isdecimal() and int(count) > 0 for count in counts)
    if again and "resume" in config and not config.resume:
        config.resume = "auto"
    return config
