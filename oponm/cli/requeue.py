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
    """Put this process's job back into its queue, if a signal asked for that.

    submitit does it for its own jobs, as it counts the requeues and keeps the job's state; other SLURM jobs are
    requeued by ``scontrol requeue``.

    Args:
        stopped: the signal that ended the run.
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
    """Set ``resume=auto`` in place if a scheduler runs a job again and ``resume`` is not set.

    Args:
        config: config of the job.
        again: whether the job is known to run again; else the scheduler's variables are read.

    Returns:
        The config.

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
