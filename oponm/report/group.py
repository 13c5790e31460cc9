"""Runs that differ in nothing but the seed are one group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_FIRST = {"erm": 0, "rs": 1, "drs": 2}  # what the others build on


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
        values = list(self.by_seed(metric).values())
        if len(values) < len(self.runs):
            return float("nan"), float("nan")
        return float(np.mean(values)), standard_error(values)

    def by_seed(self, metric: str) -> dict[int, float]:
        """A metric, or ``"seconds"``, of each run that has it, by seed."""
        values = {run["seed"]: seconds(run) if metric == "seconds" else run["metrics"].get(metric) for run in self.runs}
        return {seed: float(value) for seed, value in values.items() if value is not None}

    @property
    def published(self) -> dict[str, float]:
        """What others report of the same, in percent, by source."""
        return dict(self.runs[0].get("published") or {})

    @property
    def tuned_on_test(self) -> bool:
        """Whether a run took its test set for validation."""
        return any(run.get("validation") == "test" for run in self.runs)

    @property
    def method(self) -> str:
        """The method's name, or the experiment's without its folder."""
        return run_name(self.runs[0]).rpartition("/")[2]

    @property
    def split(self) -> tuple[str, ...]:
        """What was trained and tested on: digest, class counts and test counts; only equal ones may be compared."""
        run = self.runs[0]
        digest = run.get("content_digest") or run.get("split_digest") or ""
        return (str(digest), str(run["class_counts"]), str(run.get("test_counts", "")))

    def recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean recall of each class over seeds, and its standard error; both (C,)."""
        table = np.array([run["recall"] for run in self.runs], dtype=float)
        return table.mean(0), np.array([standard_error(column) for column in table.T])


def seconds(run: dict[str, Any]) -> float:
    """Seconds of training, those of reused phases included: what the run would have cost on its own.

    Example:
        >>> seconds({"train_seconds": 2.0, "reused": {"seconds": 8.0}})
        10.0
    """
    return float(run["train_seconds"] + (run.get("reused") or {}).get("seconds", 0.0))


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Standard error of a mean, from the sample deviation.

    Example:
        >>> standard_error([1.0, 3.0])
        1.0
    """
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def run_name(run: dict[str, Any]) -> str:
    """The experiment that was chosen, or the method."""
    return printable(str(run["choices"].get("experiment") or run["choices"].get("method", "?")))


def setting(run: dict[str, Any]) -> list[str]:
    """The overrides that bear on the result, but method and seed; sorted."""
    apart = ("seed=", "method=", "experiment=", "output_dir=", "phase_cache=", "logger", "sweep=", "hydra")
    kept = [override for override in run["overrides"] if not override.lstrip("+").startswith(apart)]
    return sorted(map(printable, kept))


def setting_key(run: dict[str, Any]) -> tuple[str, ...]:
    """What was chosen for a run but the seed; the split stands for data that changed behind the same settings."""
    split = str(run.get("content_digest") or run.get("split_digest") or "")[:8]
    return (run_name(run), f"split {printable(split)}", *setting(run))


def group_runs(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Group runs by all that was chosen for them but the seed, and by split; ERM, RS and DRS come first.

    Names tell of what differs between the groups, and of the split only where two would have the same name.

    Example:
        >>> run = {"choices": {"method": "erm"}, "overrides": [], "seed": 0}
        >>> other = {"choices": {"method": "open"}, "overrides": ["norm=aux"], "seed": 0}
        >>> [group.name for group in group_runs([run, other])]
        ['erm', 'open norm=aux']
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        groups.setdefault(setting_key(run), []).append(run)
    keys = sorted(groups, key=_order)
    return [Group(name, groups[key]) for name, key in zip(_names(keys), keys, strict=True)]


def _names(keys: Sequence[tuple[str, ...]]) -> list[str]:
    folders = {key[0].rpartition("/")[0] for key in keys}
    shared = set.intersection(*(set(key[1:]) for key in keys))
    for start in (2, 1):  # without the split, and with it
        parts = [[_short(key[0], folders), *(part for part in key[start:] if part not in shared)] for key in keys]
        names = [" ".join(part) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _order(key: tuple[str, ...]) -> tuple[Any, ...]:
    folder, _, method = key[0].rpartition("/")
    return (folder, _FIRST.get(method, len(_FIRST)), key)


def _short(name: str, folders: set[str]) -> str:
    """The name without the folder that all experiments share."""
    return name.rpartition("/")[2] if len(folders) == 1 else name


def printable(text: str) -> str:
    r"""Text in one line, without control characters.

    Example:
        >>> printable("a\nb\x1b[1m")
        'a b [1m'
    """
    return "".join(character if character.isprintable() else " " for character in text)
