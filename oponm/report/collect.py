"""Find the results of runs and group those that differ in nothing but the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oponm.errors import InputError

_NEEDED = {
    "metrics": dict,
    "recall": list,
    "class_counts": list,
    "class_names": list,
    "choices": dict,
    "overrides": list,
    "seed": int,
    "train_seconds": float,
}


@dataclass(frozen=True)
class Group:
    """Runs of one setting.

    Attributes:
        name: what sets it apart from the other groups, e.g. ``"open"`` or ``"open norm=aux"``.
        runs: contents of their ``result.json``, by seed.
    """

    name: str
    runs: list[dict[str, Any]]

    def mean_and_error(self, metric: str) -> tuple[float, float]:
        """Mean of a metric over seeds and its standard error (NaN for a single seed, or a metric no run has)."""
        values = [run["train_seconds"] if metric == "seconds" else run["metrics"].get(metric) for run in self.runs]
        if any(value is None for value in values):
            return float("nan"), float("nan")
        return float(np.mean(values)), standard_error(values)

    def recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean recall of each class over seeds, and its standard error; both (C,)."""
        table = np.array([run["recall"] for run in self.runs])
        return table.mean(0), np.array([standard_error(column) for column in table.T])


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Standard error of a mean, from the sample deviation.

    Example:
        >>> standard_error([1.0, 3.0])
        1.0
    """
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def collect_runs(folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Read every ``result.json`` of a training run below the given folders.

    Returns:
        The results, in order of their paths; and one line for each run that is incomplete or unreadable.

    Raises:
        InputError: for a folder that does not exist, or where no finished run is found at all.
    """
    runs, problems = [], []
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name the folder of a run, or one above several")
        for config in sorted(folder.rglob("config.yaml")):
            if config.resolve() in seen:
                continue
            seen.add(config.resolve())
            result = config.with_name("result.json")
            try:
                content = json.loads(result.read_text(encoding="utf-8"))
                if not all(isinstance(content.get(key), kind) for key, kind in _NEEDED.items()):
                    raise ValueError("no result of a training run")
                runs.append(content)
            except FileNotFoundError:
                problems.append(f"{config.parent}: not finished")
            except (OSError, ValueError, AttributeError) as error:
                problems.append(f"{result}: left out ({error})")
    runs, repeated = _without_repeats(runs)
    problems += repeated
    if not runs:
        listed = f" ({'; '.join(problems[:3])})" if problems else ""
        raise InputError(f"no finished training run below {', '.join(map(str, folders))}{listed}")
    return runs, problems


def _without_repeats(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Keep one run of each setting and seed: a second is the same again, and would make errors look smaller."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    repeats = [run for run in runs if kept.setdefault((*_key(run), run["seed"]), run) is not run]
    lines = [f"left out a repeat of {' '.join(_key(run))} with seed {run['seed']}" for run in repeats]
    return list(kept.values()), lines


def _key(run: dict[str, Any]) -> tuple[str, ...]:
    """What was chosen for a run but the seed; the split stands for data that changed behind the same settings."""
    split = str(run.get("content_digest") or run.get("split_digest") or "")[:8]
    return (str(run["choices"].get("method", "?")), f"split {split}", *_setting(run))


def group_runs(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Group runs by all that was chosen for them but the seed, and by split; ERM, RS and DRS come first.

    Example:
        >>> run = {"choices": {"method": "erm"}, "overrides": [], "seed": 0}
        >>> other = {"choices": {"method": "open"}, "overrides": ["norm=aux"], "seed": 0}
        >>> [group.name for group in group_runs([run, other])]
        ['erm', 'open norm=aux']
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups.setdefault(_key(run), []).append(run)
    shared = set.intersection(*(set(key[1:]) for key in groups))
    order = {"erm": 0, "rs": 1, "drs": 2}
    return [
        Group(" ".join([key[0], *(part for part in key[1:] if part not in shared)]), members)
        for key, members in sorted(groups.items(), key=lambda item: (order.get(item[0][0], 3), item[0]))
    ]


def _setting(run: dict[str, Any]) -> list[str]:
    apart = ("seed=", "method=", "output_dir=", "logger", "sweep=", "hydra")
    return sorted(override for override in run["overrides"] if not override.lstrip("+").startswith(apart))
