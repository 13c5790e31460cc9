"""Find the results of runs below folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oponm.errors import InputError
from oponm.report.group import printable, setting_key
from oponm.report.shape import check_result


def collect_runs(folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read every ``result.json`` of a training run below the given folders.

    Returns:
        The results, in order of their paths, each with its ``folder`` (a ``Path``); and one line for each run that is
        incomplete, unreadable or a repeat.

    Raises:
        InputError: for a folder that does not exist, or where no finished run is found at all.
    """
    runs: list[dict[str, Any]] = []
    problems: list[str] = []
    seen: set[Path] = set()
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name the folder of a run, or one above several")
        for config in sorted(folder.rglob("config.yaml")):
            if config.resolve() in seen or "wandb" in config.relative_to(folder).parts:  # wandb keeps one of its own
                continue
            seen.add(config.resolve())
            try:
                content, complaints = _read(config.with_name("result.json"))
                runs.append(content)
                problems += [f"{config.parent}: {complaint}" for complaint in complaints]
            except FileNotFoundError:
                problems.append(f"{config.parent}: not finished")
            except (OSError, ValueError, OverflowError, RecursionError) as error:
                problems.append(f"{config.with_name('result.json')}: left out ({error})")
    runs, repeated = _without_repeats(runs)
    problems = [printable(problem) for problem in problems + repeated]
    if not runs:
        listed = f" ({'; '.join(problems[:3])})" if problems else ""
        raise InputError(f"no finished training run below {', '.join(map(str, folders))}{listed}")
    return runs, problems


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    complaints = check_result(content)
    return {**content, "folder": path.parent}, complaints


def _without_repeats(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Keep one run of each setting and seed: a second is the same again, and would make errors look smaller."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    repeats = [run for run in runs if kept.setdefault((*setting_key(run), run["seed"]), run) is not run]
    lines = [
        f"{run['folder']}: left out, repeats {' '.join(setting_key(run))} with seed {run['seed']}" for run in repeats
    ]
    return list(kept.values()), lines
