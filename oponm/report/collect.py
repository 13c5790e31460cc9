"""Find the results of runs below folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oponm.errors import InputError
from oponm.metrics.confusion import CONFUSION_FILE
from oponm.report.find import find_runs
from oponm.report.settings import read_settings, run_name, setting_key
from oponm.report.shape import check_result
from oponm.report.sweeps import never_begun, why_unfinished
from oponm.report.text import printable
from oponm.run_files import CONFIG_FILE, RESULT_FILE

_NAMED = 20  # problems that are told where there is nothing else to tell


def collect_runs(folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read every training run below the given folders.

    Args:
        folders: of runs, or above several.

    Returns:
        The contents of each ``result.json``, in order of their paths, each with its ``folder`` (a ``Path``) and
        ``settings`` (see :func:`~oponm.report.settings.read_settings`); and one line for each run that failed, is not
        finished, unreadable or a repeat, and for each folder that is missing or is none of a run.

    Raises:
        InputError: where no finished run is found at all; it tells what is there.

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
    """A run, if it can be read, and what is to be said of it."""
    config, result = folder / CONFIG_FILE, folder / RESULT_FILE
    try:
        settings = read_settings(config)
    except (OSError, ValueError, RecursionError) as error:
        return None, [f"{config}: left out ({error})"]
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
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
    """Keep one run of each setting and seed: a second is the same again, and would make errors look smaller."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    lines = []
    for run in runs:
        first = kept.setdefault((*setting_key(run), run["seed"]), run)
        if first is not run:
            lines.append(
                f"{run['folder']}: left out, repeats {run_name(run)} with seed {run['seed']} of {first['folder']}"
            )
    return list(kept.values()), lines
