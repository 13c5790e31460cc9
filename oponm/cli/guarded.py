"""A job as Hydra calls it: here, or in a process that a launcher has started."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.cli.configuration import register_resolvers
from oponm.cli.errors import ROOM, explain, is_bad_input, one_line_errors
from oponm.cli.outcomes import DONE, FAILED, RUNNING, Outcome, belong_to, has_begun, sweep_name
from oponm.cli.requeue import go_on_if_run_again
from oponm.output import unfailing_output

log = logging.getLogger(__name__)


register_resolvers()  # a launcher's process imports this module before it composes the job's config


class Guarded:
    """Calls a job so that its errors end in one line, and in a sweep do not end the other jobs.

    Args:
        job: returns the figure that a sweeper may optimize, if there is one; that of a job that failed is NaN.
        full: what to do where a device is full.
    """

    def __init__(self, job: Callable[[DictConfig], float | None], full: str = ROOM) -> None:
        self.job, self.full, self.sweep_name = job, full, sweep_name()

    def __call__(self, config: DictConfig) -> float | None:
        """Run the job; one of a sweep writes down how it ended."""
        belong_to(self.sweep_name)
        with unfailing_output():  # in a launcher's process too
            return self._run(config)

    def _run(self, config: DictConfig) -> float | None:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            with one_line_errors(self.full):
                return self.job(go_on_if_run_again(config))
        hydra = HydraConfig.get()
        sweep = Path(hydra.runtime.cwd, hydra.sweep.dir)
        go_on_if_run_again(config, has_begun(sweep, hydra.job.num))
        outcome = Outcome(hydra.job.num, hydra.sweep.subdir, list(hydra.overrides.task), RUNNING)
        outcome.write(sweep)
        with one_line_errors(self.full):
            try:
                value = self.job(config)
            except Exception as error:
                failed = replace(
                    outcome, status=FAILED, reason=explain(error, self.full), bad_input=is_bad_input(error)
                )
                failed.write(sweep)
                level = logging.INFO if failed.bad_input or isinstance(error, ChildProcessError) else logging.ERROR
                log.log(level, "failed: %s", failed.reason, exc_info=level == logging.ERROR)
                return math.nan
            except BaseException as error:  # asks for the end of the sweep
                reason = "interrupted" if isinstance(error, KeyboardInterrupt) else explain(error)
                replace(outcome, status=FAILED, reason=reason).write(sweep)
                raise
        replace(outcome, status=DONE).write(sweep)
        return value
