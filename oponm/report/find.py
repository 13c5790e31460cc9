"""Where the runs are below a folder, and what else lies there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from oponm.run_files import CONFIG_FILE, RESULT_FILE

SUMMARY = "sweep.json"  # of a sweep: how each of its jobs ended
_WANDB = "wandb"  # keeps a config.yaml of its own in each run
_OURS = {CONFIG_FILE, RESULT_FILE, SUMMARY, "multirun.yaml", "report.html"}
_TOLD = 20  # strange folders that are told one by one


class Found(NamedTuple):
    """What lies below a folder.

    Attributes:
        runs: folders with a ``config.yaml``, in order of their paths.
        sweeps: folders with a ``sweep.json``.
        problems: a line for each folder that is none of a run and holds none.
    """

    runs: list[Path]
    sweeps: list[Path]
    problems: list[str]


def find_runs(folder: Path) -> Found:
    """Look through a folder and all below it.

    Args:
        folder: one that exists.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("run/checkpoints", "lightning_logs/version_0"):
        ...     (folder / name).mkdir(parents=True)
        >>> (folder / "run/config.yaml").touch()
        >>> found = find_runs(folder)
        >>> [run.name for run in found.runs], [line.rpartition("/")[2] for line in found.problems]
        (['run'], ['lightning_logs: left out (holds no run)'])
    """
    files: dict[Path, set[str]] = {}
    unreadable: list[str] = []

    def note(error: OSError) -> None:
        unreadable.append(f"{error.filename}: left out ({error.strerror})")

    for path, below, names in os.walk(folder, onerror=note):
        below[:] = sorted(name for name in below if name != _WANDB)
        files[Path(path)] = set(names)
        for name in _OURS & set(below):  # a folder in the place of a file is told of when it is read
            files[Path(path)].add(name)
    runs = [path for path, names in files.items() if CONFIG_FILE in names]
    sweeps = [path for path, names in files.items() if SUMMARY in names]
    lone = [path for path, names in files.items() if RESULT_FILE in names and CONFIG_FILE not in names]
    strange = _strange(folder, files)
    problems = [*unreadable, *(f"{path}: left out ({RESULT_FILE} without {CONFIG_FILE})" for path in lone)]
    problems += [f"{path}: left out (holds no run)" for path in strange[:_TOLD]]
    if len(strange) > _TOLD:
        problems.append(f"{folder}: {len(strange) - _TOLD} more folders in it hold no run")
    return Found(runs, sweeps, problems)


def _strange(folder: Path, files: dict[Path, set[str]]) -> list[Path]:
    """Of the folders that are not in a run, those that hold nothing of ours, without those below them."""
    known = {folder}
    for path, names in files.items():
        if names & _OURS:
            known |= {path, *path.parents}
    in_run = {path for path, names in files.items() if CONFIG_FILE in names}
    for path in files:  # from the top down
        if path.parent in in_run:
            in_run.add(path)
    return [
        path
        for path in files
        if path not in known and path.parent in known and path not in in_run and not path.name.startswith(".")
    ]
