"""Jobs that a scheduler runs again: SLURM's requeue, submitit's, and torchrun's restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from omegaconf import DictConfig

AGAIN = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)  # of the end of a job's time, as SLURM and submitit send them


def requeue(stopped: int) -> None:
    """Put the job that this process is of back into its queue, where a signal asked for that.

    Under submitit that is left to submitit, which counts how often and keeps the job's state; under SLURM alone it is
    ``scontrol requeue``.

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
    """Ask SLURM; says what came of it."""
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
    """Choose ``resume=auto`` in place, where a scheduler runs a job again and nothing else was chosen.

    Args:
        config: of the job.
        again: whether the job is known to run again; else the scheduler's variables say so.

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
