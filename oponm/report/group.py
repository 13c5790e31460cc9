"""Groups runs that differ only in the seed, or in the fold of a cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oponm.report.settings import (
    apart,
    fold_of,
    repeat_of,
    run_name,
    setting_key,
    setting_lines,
    settings_of,
    split_override,
)
from oponm.report.text import printable, value_text

_FIRST = {"erm": 0, "rs": 1, "drs": 2}  # the other methods build on them
Run = dict[str, Any]
_NAMING = ("method", "experiment")  # are already part of the name


@dataclass(frozen=True)
class Group:
    """Runs with the same config and data, except for the seed and the fold.

    Attributes:
        name: name that distinguishes it from the other groups, e.g. ``"open"`` or ``"open norm=aux"``.
        runs: contents of their ``result.json``, in order of seed and fold.
    """

    name: str
    runs: list[dict[str, Any]]

    def mean_and_error(self, metric: str) -> tuple[float, float]:
        """Mean of a metric over seeds and folds and its standard error (NaN for a single run, or if no run has it)."""
        values = list(self.by_seed(metric).values())
        if len(values) < max(len(self.runs), 1):
            return float("nan"), float("nan")
        return float(np.mean(values)), standard_error(values)

    def by_seed(self, metric: str) -> dict[tuple[int, int], float]:
        """Return the value of a metric for each run that has it, by (seed, fold).

        Args:
            metric: name of a metric; ``"seconds"``, those of training; or ``"worst_class"``, the lowest recall of a
                class.
        """
        of = {"seconds": seconds, "worst_class": _lowest_recall}.get(metric, lambda run: run["metrics"].get(metric))
        values = {repeat_of(run): of(run) for run in self.runs}
        return {repeat: float(value) for repeat, value in values.items() if value is not None}

    def worst_classes(self) -> list[int]:
        """Labels of the classes with the lowest recall of a single run; empty for several runs, which may differ."""
        if len(self.runs) > 1:
            return []
        recalls = {label: recall for label, recall in enumerate(self.runs[0].get("recall", [])) if known(recall)}
        return [label for label, recall in recalls.items() if recall == min(recalls.values())]

    @property
    def folds(self) -> str:
        """The number of folds and seeds of its runs, in words; empty where no test set is a fold."""
        crossed = fold_of(self.runs[0]) if self.runs else None
        if crossed is None:
            return ""
        found, seeds = ({repeat_of(run)[place] for run in self.runs} for place in (1, 0))
        missing = f" of {crossed[2]}" if len(found) < crossed[2] else ""
        return f"{len(found)}{missing} folds" + (f", {len(seeds)} seeds" if len(seeds) > 1 else "")

    @property
    def tuned_on_test(self) -> bool:
        """Whether a run used its test set for validation."""
        return any(run.get("validation") == "test" for run in self.runs)

    @property
    def method(self) -> str:
        """Name of the method; for an experiment in a subfolder of its config group, name of its file."""
        return run_name(self.runs[0]).rpartition("/")[2]

    @property
    def split(self) -> tuple[str, ...]:
        """Digests, class counts and test counts of the data; groups may be compared if these are equal."""
        run = self.runs[0]
        if crossed := fold_of(run):
            seed = str(settings_of(run).get("data.split_seed", ""))
            return (crossed[0], f"{crossed[2]} folds", seed)
        digest = run.get("content_digest") or run.get("split_digest") or ""
        tested = (str(run.get("test_counts", "")), str(run.get("test_digest") or ""))
        return (str(digest), str(run["class_counts"]), *tested)

    def recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean recall of each class over seeds, and its standard error; both (C,)."""
        table = np.array([run["recall"] for run in self.runs], dtype=float)
        return table.mean(0), np.array([standard_error(column) for column in table.T])


def known(value: float | None) -> bool:
    """Whether a value of a ``result.json`` is a number and not missing (None or NaN).

    Example:
        >>> known(0.0), known(None), known(float("nan"))
        (True, False, False)
    """
    return value is not None and not math.isnan(value)


def seconds(run: dict[str, Any]) -> float:
    """Seconds of training, including those of reused phases: the time that the run would take without a cache.

    Example:
        >>> seconds({"train_seconds": 2.0, "reused": {"seconds": 8.0}})
        10.0
    """
    return float(run["train_seconds"] + (run.get("reused") or {}).get("seconds", 0.0))


def _lowest_recall(run: Run) -> float | None:
    return min((recall for recall in run.get("recall", []) if known(recall)), default=None)


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Standard error of a mean, from the sample deviation.

    Example:
        >>> standard_error([1.0, 3.0])
        1.0
    """
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def group_runs(runs: Sequence[dict[str, Any]]) -> list[Group]:
    """Group runs that differ only in the seed and the fold; the groups of ERM, RS and DRS come first.

    Two runs are in the same group if their resolved configs agree apart from seed and fold, whichever overrides led
    there, and if they were trained and tested on the same images. Paths of data and keys of logging are ignored.

    Args:
        runs: the contents of ``result.json``, with ``settings`` where the config is known, as
            :func:`~oponm.report.collect_runs` returns them.

    Returns:
        Groups, named by what differs between them, see :func:`~oponm.report.group.group_names`.

    Example:
        >>> run = {"choices": {"method": "erm"}, "overrides": [], "seed": 0}
        >>> other = {"choices": {"method": "open"}, "overrides": ["norm=aux"], "seed": 0}
        >>> [group.name for group in group_runs([run, other])]
        ['erm', 'open norm=aux']
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in sorted(runs, key=repeat_of):
        found.setdefault(setting_key(run), []).append(run)
    groups = [
        Group(name, members) for name, members in zip(group_names([*found.values()]), found.values(), strict=True)
    ]
    return sorted(groups, key=_order)


def _order(group: Group) -> tuple[Any, ...]:
    folder, _, method = run_name(group.runs[0]).rpartition("/")
    return (folder, _FIRST.get(method, len(_FIRST)), method, group.name)


def group_names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Return a name for each group: its experiment or method, and the overrides that not all groups share.

    Overrides that make no difference between the groups are left out. Equal names get the config keys that differ. If
    all these are equal, all names get a digest of the training images, then the number of test images and the digests
    of test and validation images, as far as these differ.

    Args:
        groups: the runs of each group; they have the same :func:`~oponm.report.settings.setting_key`.

    Returns:
        A unique name for each group.

    Example:
        >>> runs = [{"choices": {"method": "open"}, "overrides": said} for said in ([], ["norm=aux", "seed=1"])]
        >>> group_names([[run] for run in runs])
        ['open', 'open norm=aux']
    """
    folders = {run_name(runs[0]).rpartition("/")[0] for runs in groups}
    labels = [run_name(runs[0]) for runs in groups]
    if len(folders) == 1:  # all experiments share it
        labels = [label.rpartition("/")[2] for label in labels]
    said = [_said(runs) for runs in groups]
    idle = {override for override in set().union(*said) if _makes_no_difference(override, groups, said)}
    labels = [label + without_batch_norm(runs[0]) for label, runs in zip(labels, groups, strict=True)]
    names = [" ".join([label, *sorted(map(printable, own - idle))]) for label, own in zip(labels, said, strict=True)]
    names = _told_apart(names, groups)
    for more in _DIGESTS:
        longer = [f"{name} {more(runs[0])}" for name, runs in zip(names, groups, strict=True)]
        if len(set(names)) < len(set(longer)):
            names = longer
    return names


def without_batch_norm(run: Run) -> str:
    """Return the suffix ``" (no batch norm)"`` for a run on noise whose network has no batch norm; else ``""``.

    Args:
        run: content of its ``result.json``.
    """
    return " (no batch norm)" if run.get("no_batch_norm") else ""


def _said(runs: Sequence[Run]) -> set[str]:
    """The overrides that all runs of a group have and that affect the result, without those that are in the name."""
    said = set.intersection(*({override.lstrip("+") for override in run["overrides"]} for run in runs))
    keys = {override: split_override(override)[0] for override in said}
    of_folds = ("data.fold",) if all(map(fold_of, runs)) else ()
    return {override for override, key in keys.items() if not apart(key) and key not in (*_NAMING, *of_folds)}


def _makes_no_difference(override: str, groups: Sequence[Sequence[Run]], said: Sequence[set[str]]) -> bool:
    """Whether all groups have the override, or the settings that it makes, or the same choice by default."""
    if all(override in own for own in said):
        return True
    key, value = split_override(override)
    first = [runs[0] for runs in groups]
    if all(run["choices"].get(key) == value for run in first):
        return True
    made = [
        tuple((name, value_text(found)) for name, found in sorted(settings_of(run).items()) if _below(name, key))
        for run in first
    ]
    return any(made) and len(set(made)) == 1


def _below(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _start(digest: object, unknown: str = "unknown") -> str:
    return printable(str(digest or unknown))[:8]


_DIGESTS: tuple[Callable[[Run], str], ...] = (  # what separates groups with the same settings
    lambda run: f"split {_start(run.get('content_digest') or run.get('split_digest'), '')}",
    lambda run: f"tested on {sum(run.get('test_counts') or [])} images",
    lambda run: f"test images {_start(run.get('test_digest'))}",
    lambda run: f"validation images {_start(run.get('val_digest'))}",
)


def _told_apart(names: Sequence[str], groups: Sequence[Sequence[Run]]) -> list[str]:
    """The names; equal ones are followed by the settings that differ."""
    lines = [setting_lines(runs[0]) for runs in groups]
    told = []
    for name, own in zip(names, lines, strict=True):
        shared = set.intersection(*(set(other) for other, named in zip(lines, names, strict=True) if named == name))
        told.append(" ".join([name, *(line for line in own if line not in shared and line not in name.split())]))
    return told
