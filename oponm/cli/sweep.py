"""Follows a sweep as a Hydra callback, and summarizes failed jobs in a table and in ``sweep.json``."""

from __future__ import annotations

import io
import logging
import math
import os
import sys
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from oponm.cli.errors import BAD_INPUT, ROOM, explain, is_bad_input
from oponm.cli.outcomes import DONE, FAILED, RUNNING, Outcome, Outcomes
from oponm.cli.run_names import take_folder
from oponm.run_files import remove_empty, write_json

SUMMARY = "sweep.json"
log = logging.getLogger(__name__)


class Sweep(Callback):
    """Records how each job of a sweep ends; a failed job returns NaN to the sweeper, so that the others continue.

    Hydra does not call ``on_multirun_end`` if a sweep is interrupted, so :func:`conclude` is called instead. Hydra does
    not call ``on_job_end`` if a signal ends a job, so the launchers record that.

    Attributes:
        folder: folder of the sweep that Hydra runs in this process; None outside a sweep.
    """

    folder: Path | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the run's folder, if it is the default one, whose name is the time."""
        take_folder(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the sweep's folder if it is the default one; remove job files of an earlier sweep that was killed."""
        take_folder(config)
        Sweep.folder = Path(config.hydra.sweep.dir).absolute()
        self.outcomes = Outcomes.of(Sweep.folder)  # Hydra pickles this object along with the jobs
        self.outcomes.forget()

    def on_job_start(self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any) -> None:
        """Record that the job is running."""
        hydra = config.hydra
        if hydra.mode == RunMode.MULTIRUN:
            self.full = getattr(task_function, "full", ROOM)
            self.job = Outcome(hydra.job.num, hydra.sweep.subdir, list(hydra.overrides.task), RUNNING)
            self.outcomes.write(self.job)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record how the job ended."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        error = _error(job_return)
        if error is None:
            self.outcomes.write(replace(self.job, status=DONE))
            return
        job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan
        reason, bad_input = explain(error, self.full), is_bad_input(error)
        self.outcomes.write(replace(self.job, status=FAILED, reason=reason, bad_input=bad_input))
        level = logging.INFO if bad_input or isinstance(error, ChildProcessError) else logging.ERROR
        log.log(level, "failed: %s", reason, exc_info=error if level == logging.ERROR else None)


def _error(job_return: JobReturn) -> Exception | None:
    """The exception of a job; Hydra raises it on access, after a line on standard error."""
    try:
        with redirect_stderr(io.StringIO()):
            _ = job_return.return_value
    except Exception as error:
        return error
    return None


def conclude(folder: Path) -> int:
    """Print failed and unfinished jobs, write ``sweep.json``, and remove the job files.

    If all jobs failed for the same reason before any run began, the reason is printed once and no file stays.

    Args:
        folder: folder of the sweep.

    Returns:
        The exit code: 0 if every job is done, 2 if all failed by the same bad input, else 1.
    """
    kept = Outcomes.of(folder)
    outcomes = kept.read()
    kept.forget()
    failed = [outcome for outcome in outcomes if outcome.status != DONE]
    if not any((folder / outcome.folder).exists() for outcome in outcomes):
        if {path.name for path in folder.glob("*")} == {"multirun.yaml"}:
            (folder / "multirun.yaml").unlink()
        remove_empty(folder)
    if not outcomes:
        return 0
    if failed == outcomes and all(one.bad_input and one.reason == failed[0].reason for one in failed):
        print(f"oponm: {failed[0].reason}", file=sys.stderr)
        return BAD_INPUT
    where = os.path.relpath(folder)
    Console(markup=False).print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} runs done: {where}", soft_wrap=True, highlight=False
    )
    if folder.is_dir():
        write_json(folder / SUMMARY, {"jobs": [asdict(outcome) for outcome in outcomes]})
    if failed:
        _print(failed)
        print("oponm: the same command with output_dir and resume=auto runs what is missing", file=sys.stderr)
    return int(bool(failed))


def _print(failed: list[Outcome]) -> None:
    """A table of the jobs that are not done."""
    table = Table("not done", "because")
    for column in table.columns:
        column.overflow = "fold"
    for outcome in failed:
        table.add_row(outcome.folder, outcome.reason)
    Console(stderr=True, markup=False).print(table, highlight=False)
