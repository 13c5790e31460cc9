"""Runs that differ in nothing but the seed are one group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oponm.report.names import group_names
from oponm.report.settings import run_name, setting_key

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
        """What was trained and tested on: digests, class counts and test counts; only equal ones may be compared."""
        run = self.runs[0]
        digest = run.get("content_digest") or run.get("split_digest") or ""
        tested = (str(run.get("test_counts", "")), str(run.get("test_digest") or ""))
        return (str(digest), str(run["class_counts"]), *tested)

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


def group_runs(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Group runs by all that determines what they compute but the seed; ERM, RS and DRS come first.

    Two runs are one setting if their resolved configs agree, whatever was said to get there, and if they were trained
    and tested on the same images. Where files lie, what is logged and how often is no part of it.

    Args:
        runs: contents of ``result.json``, with ``settings`` where the config is known, as
            :func:`~oponm.report.collect_runs` gives them.

    Returns:
        Groups whose names tell what differs between them, see :func:`~oponm.report.names.group_names`.

    Example:
        >>> run = {"choices": {"method": "erm"}, "overrides": [], "seed": 0}
        >>> other = {"choices": {"method": "open"}, "overrides": ["norm=aux"], "seed": 0}
        >>> [group.name for group in group_runs([run, other])]
        ['erm', 'open norm=aux']
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        found.setdefault(setting_key(run), []).append(run)
    groups = [
        Group(name, members) for name, members in zip(group_names([*found.values()]), found.values(), strict=True)
    ]
    return sorted(groups, key=_order)


def _order(group: Group) -> tuple[Any, ...]:
    folder, _, method = run_name(group.runs[0]).rpartition("/")
    return (folder, _FIRST.get(method, len(_FIRST)), method, group.name)
