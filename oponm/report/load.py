"""Loads the results of runs: finds their folders, reads them, and explains why some have no result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from oponm.errors import InputError
from oponm.metrics.confusion import CONFUSION_FILE
from oponm.report.result_file import check_result
from oponm.report.settings import fold_of, read_settings, repeat_of, run_name, setting_key
from oponm.report.text import printable
from oponm.run_files import CONFIG_FILE, RESULT_FILE

SUMMARY = "sweep.json"  # file of a sweep: how each of its jobs ended
_WANDB = "wandb"  # has a config.yaml of its own in each run
_OURS = {CONFIG_FILE, RESULT_FILE, SUMMARY, "multirun.yaml", "report.html"}
_TOLD = 20  # other folders that are listed one by one
_NAMED = 20  # problems that are listed if no run was found


def collect_runs(folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read all training runs in the given folders.

    Args:
        folders: folders of runs, or folders that contain several.

    Returns:
        The contents of each ``result.json``, in order of their paths, each with its ``folder`` (a ``Path``) and
        ``settings`` (see :func:`~oponm.report.settings.read_settings`); and a line for each run that failed, is
        unfinished, unreadable or repeated, and for each folder that is missing or holds no run.

    Raises:
        InputError: if no finished run is found; it lists what was found.

    Example:
        >>> import tempfile
        >>> from oponm.data import DigitsLT
        >>> from oponm.training import fit
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1, output_dir=folder / "erm")
        >>> (folder / "lightning_logs").mkdir()
        >>> runs, problems = collect_runs([folder])
        >>> [run["choices"]["method"] for run in runs], [problem.rpartition("/")[2] for problem in problems]
        (['erm'], ['lightning_logs: left out (holds no run)'])
    """
    runs: list[dict[str, Any]] = []
    problems: list[str] = []
    seen: set[Path] = set()
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"{folder}: no such folder; name the folder of a run, or one above several")
            continue
        found = find_runs(folder)
        for path in found.runs:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                run, lines = _read(path)
                runs += [run] if run else []
                problems += lines
        problems += [*never_begun(found.sweeps), *found.problems]
    runs, repeated = _without_repeats(runs)
    problems = [printable(problem) for problem in dict.fromkeys(problems + repeated)]
    if not runs:
        raise InputError(_nothing_found(folders, problems))
    return runs, problems


def _nothing_found(folders: list[Path], problems: list[str]) -> str:
    if len(problems) == len(folders) == 1 and not folders[0].is_dir():
        return problems[0]
    more = [f"and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
    told = "; ".join([*problems[:_NAMED], *more])
    return f"no finished training run below {', '.join(map(str, folders))}{f' ({told})' if told else ''}"


def _read(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """A run, or None if it cannot be read, and a line for each problem."""
    config, result = folder / CONFIG_FILE, folder / RESULT_FILE
    try:
        settings = read_settings(config)
    except (OSError, ValueError, RecursionError) as error:
        return None, [f"{config}: left out ({error})"]
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "evaluated" in content:
            run = Path(str(content.get("checkpoint"))).parent.parent
            raise ValueError(f"written by 'oponm eval': give the folder of the evaluated training run instead, {run}")
        complaints = check_result(content)
    except FileNotFoundError:
        reason = why_unfinished(folder)
        return None, [f"{folder}: {f'failed: {reason}' if reason else 'not finished'}"]
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        return None, [f"{result}: left out ({error})"]
    if content.get("confusion_matrix") == CONFUSION_FILE and not (folder / CONFUSION_FILE).is_file():
        del content["confusion_matrix"]
        complaints.append(f"{CONFUSION_FILE} is missing, and is not drawn")
    return {**content, "folder": folder, "settings": settings}, [f"{folder}: {line}" for line in complaints]


def _without_repeats(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Keep one run of each config and seed: a repetition would make standard errors look smaller."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    lines = []
    for run in runs:
        first = kept.setdefault((*setting_key(run), repeat_of(run)), run)
        if first is not run:
            lines.append(
                f"{run['folder']}: left out, repeats {run_name(run)} with seed {run['seed']}{_fold(run)} of "
                f"{first['folder']}"
            )
    return list(kept.values()), lines


def _fold(run: dict[str, Any]) -> str:
    crossed = fold_of(run)
    return f" and fold {crossed[1]}" if crossed else ""


class Found(NamedTuple):
    """The contents of a folder.

    Attributes:
        runs: folders with a ``config.yaml``, in order of their paths.
        sweeps: folders with a ``sweep.json``.
        problems: a line for each folder that neither is nor contains a run's folder.
    """

    runs: list[Path]
    sweeps: list[Path]
    problems: list[str]


def find_runs(folder: Path) -> Found:
    """Search a folder and all folders in it for runs.

    Args:
        folder: an existing folder.

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
        for name in _OURS & set(below):  # a folder in place of a file is reported when it is read
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
    """The topmost folders outside of runs that contain no file of a run or sweep."""
    known = {folder}
    for path, names in files.items():
        if names & _OURS:
            known |= {path, *path.parents}
    in_run = {path for path, names in files.items() if CONFIG_FILE in names}
    for path in files:  # parents come first
        if path.parent in in_run:
            in_run.add(path)
    return [
        path
        for path in files
        if path not in known and path.parent in known and path not in in_run and not path.name.startswith(".")
    ]


def failures(sweep: Path) -> dict[Path, str]:
    """The reason why each failed job of a sweep failed, by the folder of its run.

    Args:
        sweep: the sweep's folder.

    Returns:
        The reasons; empty if the file is missing or not a sweep's.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> job = {"folder": "seed-0", "status": "failed", "reason": "loss is not finite"}
        >>> _ = (sweep / "sweep.json").write_text(json.dumps({"jobs": [job]}))
        >>> {folder.name: reason for folder, reason in failures(sweep).items()}
        {'seed-0': 'loss is not finite'}
    """
    try:
        jobs = json.loads((sweep / SUMMARY).read_text(encoding="utf-8"))["jobs"]
        return {
            sweep / str(job["folder"]): str(job.get("reason") or "without a word")
            for job in jobs
            if job["status"] != "done"
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def why_unfinished(run: Path) -> str | None:
    """The reason why a run failed, if it was a job of a sweep that recorded one.

    Args:
        run: the run's folder, inside the sweep's.
    """
    for sweep in run.parents:
        if (sweep / SUMMARY).is_file():
            return failures(sweep).get(run)
    return None


def never_begun(sweeps: Iterable[Path]) -> list[str]:
    """A line for each job that failed before its folder was made.

    Args:
        sweeps: folders of sweeps.
    """
    found = {folder: reason for sweep in sweeps for folder, reason in failures(sweep).items()}
    return [f"{folder}: failed: {reason}" for folder, reason in found.items() if not folder.is_dir()]
