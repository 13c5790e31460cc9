"""A sweep from its beginning to its summary: what failed and why, in a table and in ``sweep.json``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from oponm.cli.configuration import take_folder
from oponm.cli.errors import BAD_INPUT
from oponm.cli.outcomes import DONE, Outcome, forget_outcomes, read_outcomes

SUMMARY = "sweep.json"


class Sweep(Callback):
    """Knows the folder of the sweep that Hydra runs in this process.

    Attributes:
        folder: None outside of a sweep.
    """

    folder: Path | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the folder of a run, where it is named by the time."""
        take_folder(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the folder, and what an earlier sweep that was killed left of its jobs out of it."""
        take_folder(config)
        Sweep.folder = Path(config.hydra.sweep.dir).absolute()
        forget_outcomes(Sweep.folder)


def conclude(folder: Path) -> int:
    """Print what failed or did not come to its end, write ``sweep.json``, and clear what was kept on the way.

    If all jobs failed alike before anything began, the one reason is printed and nothing stays.

    Args:
        folder: of the sweep.

    Returns:
        The exit code: 0 if every job is done, 2 if all failed alike by bad input, else 1.
    """
    from oponm.training.result import write_json

    outcomes = read_outcomes(folder)
    forget_outcomes(folder)
    failed = [outcome for outcome in outcomes if outcome.status != DONE]
    if not any(outcome.folder and (folder / outcome.folder).exists() for outcome in outcomes):
        _remove(folder)
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
        _print(failed, outcomes)
        print("oponm: the same command with output_dir and resume=auto runs what is missing", file=sys.stderr)
    return int(bool(failed))


def _print(failed: list[Outcome], outcomes: list[Outcome]) -> None:
    """A table of the jobs that are not done, each by what sets it apart from the others."""
    shared = set.intersection(*(set(outcome.overrides) for outcome in outcomes))
    table = Table("not done", "because")
    for column in table.columns:
        column.overflow = "fold"
    for outcome in failed:
        own = [override for override in outcome.overrides if override not in shared]
        table.add_row(" ".join(own) or outcome.folder, outcome.reason)
    Console(stderr=True, markup=False).print(table, highlight=False)


def _remove(folder: Path) -> None:
    """Remove the folder of a sweep in which nothing began, and those above it that it leaves empty."""
    if {path.name for path in folder.glob("*")} == {"multirun.yaml"}:
        (folder / "multirun.yaml").unlink()
    for parent in (folder, *folder.parents):
        if parent == Path.cwd() or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
