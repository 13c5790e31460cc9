"""Runs one job of a sweep, in any process."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

import oponm.cli.run_names  # noqa: F401 (registers the resolvers of a job's config)
from oponm.cli.outcomes import LOST, Outcomes
from oponm.cli.requeue import resume_if_run_again
from oponm.signals import SIGNALED, Stopped


@dataclass
class Job:
    """One job of a sweep; pickled, it contains all that another process needs to run it.

    Attributes:
        number: number of the job in the sweep.
        config: composed config of the job.
        context: Hydra's context.
        task: the function that Hydra was given to run.
        outcomes: outcomes of the sweep.
    """

    number: int
    config: DictConfig
    context: HydraContext
    task: TaskFunction
    outcomes: Outcomes

    def __call__(self) -> JobReturn:
        """Run the job in this process; if a signal ends it, its outcome records that."""
        setup_globals()
        try:
            return run_job(self.task, self.config, "hydra.sweep.dir", "hydra.sweep.subdir", self.context)
        except BaseException as error:
            code = SIGNALED + error.signal if isinstance(error, Stopped) else getattr(error, "code", 0)
            self.outcomes.lose(self.number, how_it_ended(code if isinstance(code, int) else 0))
            raise

    def checkpoint(self) -> Any:
        """Return a copy of this job for submitit to requeue; when the scheduler starts the copy, it resumes the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self, config=resume_if_run_again(self.config, again=True)))


def how_it_ended(code: int | None) -> str:
    """The reason why a job has no result, from the exit code of its process.

    Example:
        >>> how_it_ended(130), how_it_ended(143), how_it_ended(-9)
        ('interrupted', 'stopped by SIGTERM', 'its process ended without a word (SIGKILL)')
    """
    number = (code or 0) - 128 if (code or 0) > 128 else -(code or 0)
    name = signal.Signals(number).name if number in [*signal.Signals] else ""
    if (code or 0) > 128 and name:
        return "interrupted" if number == signal.SIGINT else f"stopped by {name}"
    return f"{LOST} ({name or f'code {code}'})" if code else LOST
