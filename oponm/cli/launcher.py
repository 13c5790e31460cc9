"""What launches the jobs of a sweep: each to its end, whatever befell the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from oponm.cli.errors import explain
from oponm.cli.outcomes import Outcome, lose


class GatheringLauncher(Launcher):
    """Launches through one of Hydra's launchers, having written down all jobs as not run, and gathers all of them.

    A job whose process died is one that failed: its figure is NaN, and its outcome says so.

    Args:
        launcher: set up already.
        sweep: the folder of the sweep.
    """

    def __init__(self, launcher: Launcher, sweep: Path) -> None:
        self.launcher, self.sweep = launcher, sweep

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """The launcher has been set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs.

        Args:
            job_overrides: of each job.
            initial_job_idx: the number of the first.

        Returns:
            What each returned.
        """
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            Outcome(number, "", list(filter_overrides(overrides))).write(self.sweep)
        kind = type(self.launcher).__name__
        ended: Sequence[Any]
        if kind == "JoblibLauncher":
            from oponm.cli.process_each import launch_process_each

            ended = launch_process_each(self.launcher, job_overrides, initial_job_idx)
        elif any(base.__name__ == "BaseSubmititLauncher" for base in type(self.launcher).mro()):
            with _errors_as_results():
                ended = self.launcher.launch(job_overrides, initial_job_idx)
        else:
            ended = self.launcher.launch(job_overrides, initial_job_idx)
        return [self._settled(number, one) for number, one in enumerate(ended, initial_job_idx)]

    def _settled(self, number: int, ended: Any) -> JobReturn:
        if isinstance(ended, JobReturn):
            return ended
        lose(self.sweep, number, _reason(ended))
        return JobReturn(status=JobStatus.COMPLETED, _return_value=math.nan)


@contextmanager
def _errors_as_results() -> Iterator[None]:
    """Let submitit's jobs return the error that they would raise, as its launcher takes the first one for the end."""
    from submitit import Job

    kind: Any = Job
    original = kind.results

    def results(job: Any) -> list[Any]:
        try:
            return original(job)
        except Exception as error:
            return [error]

    kind.results = results
    try:
        yield
    finally:
        kind.results = original


def _reason(error: BaseException) -> str:
    """Why a job came to no end that it could write down itself."""
    if type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool", "UncompletedJobError"):
        return "its process ended without a word"
    return explain(error) if isinstance(error, Exception) else f"its process ended: {error!r}"


@contextmanager
def gathering() -> Iterator[None]:
    """Inside, the launchers that Hydra makes gather all jobs."""
    kind: Any = Plugins
    original = kind.instantiate_launcher

    def instantiate_launcher(
        plugins: Plugins, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> Launcher:
        launcher = original(plugins, hydra_context, task_function, config)
        return GatheringLauncher(launcher, Path(config.hydra.sweep.dir).absolute())

    kind.instantiate_launcher = instantiate_launcher
    try:
        yield
    finally:
        kind.instantiate_launcher = original
