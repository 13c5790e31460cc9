"""Data of the page's plots: means of groups, with classes in bins and a subset of the epochs."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oponm.report.classes import BINS, MATRIX_BINS, Classes, class_series
from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.tables import FIRST
from oponm.report.text import printable

NUMBERED = 30  # classes of a single run whose confusion matrix is a table of numbers
CURVES = ("train/loss", "train/accuracy", "val/balanced_accuracy", "noise_share", "lr")  # of metrics.csv
POINTS = 80  # of a curve
SHOWN = 5  # groups in the figures before the reader chooses


def figure_data(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the data of all plots of all groups; ``page.js`` draws those of the groups that the reader selects.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
    """
    against = {id(comparison.group): comparison for comparison in comparisons}
    data = [_group_data(group, against.get(id(group))) for group in groups]
    if len(groups) == 1 and len(groups[0].runs) == 1 and len(groups[0].runs[0]["class_names"]) <= NUMBERED:
        data[0].pop("confusion", None)  # a table has its numbers
    return {"splits": [_split_data(groups, places, comparisons) for places in _splits(groups)], "groups": data}


def highlights(groups: Sequence[Group], comparisons: Sequence[Comparison], most: int = SHOWN) -> list[Group]:
    """Select groups to show first: for each split the baselines, then the groups with the best balanced accuracy.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
        most: largest number of groups per split.

    Returns:
        Groups split by split, otherwise in the order of ``groups``.
    """
    bases = {id(comparison.baseline) for comparison in comparisons}

    def rank(group: Group) -> tuple[bool, bool, float]:
        score = group.mean_and_error(FIRST)[0]
        return (id(group) not in bases, math.isnan(score), -score)

    members = [[groups[place] for place in places] for places in _splits(groups)]
    chosen = {id(group) for own in members for group in sorted(own, key=rank)[:most]}
    return [group for own in members for group in own if id(group) in chosen]


def _splits(groups: Sequence[Group]) -> list[list[int]]:
    """The indices of the groups of each split, in order of appearance."""
    places: dict[Any, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group.split, []).append(place)
    return list(places.values())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summary(groups: Sequence[Group]) -> str:
    """The numbers of runs, settings and training splits, as text.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
    """
    runs = sum(len(group.runs) for group in groups)
    return (
        f"{_count(runs, 'run')} of {_count(len(groups), 'setting')} on {_count(len(_splits(groups)), 'training split')}"
    )


def _label(group: Group) -> str:
    run = group.runs[0]
    counts = run["class_counts"]
    data = printable(str(run["choices"].get("data", "data")))
    digest = (group.split[0] or "unknown")[:8]
    size = f"{len(counts)} classes, {sum(counts)} training images, {max(counts)} to {min(counts)} a class"
    return f"{data}: {size}, split {digest}"


def provenance(groups: Sequence[Group]) -> list[str]:
    """Splits, git commits and versions of the runs, as lines.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
    """
    lines = [_label(groups[places[0]]) for places in _splits(groups)]
    runs = [run for group in groups for run in group.runs]
    commits = sorted({printable(str(run["git_commit"])) for run in runs if run.get("git_commit")})
    versions = sorted(
        {
            ", ".join(f"{printable(str(name))} {printable(str(version))}" for name, version in found.items())
            for run in runs
            if isinstance(found := run.get("versions"), dict)
        }
    )
    return [*lines, *(f"git commit {commit}" for commit in commits), *versions]


def _split_data(groups: Sequence[Group], places: Sequence[int], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    members = {id(groups[place]): place for place in places}
    first = groups[places[0]]
    classes = Classes.of(first)
    bins = classes.bins(BINS)
    return {
        "label": _label(first),
        "groups": places,
        "shown": [members[id(group)] for group in highlights([groups[place] for place in places], comparisons)],
        "classes": classes.labels(BINS),
        "bins": classes.labels(MATRIX_BINS),
        "counts": [round(sum(classes.counts[label] for label in labels) / len(labels), 1) for labels in bins],
        "uniform": round(100 / len(bins), 2),
    }


def _group_data(group: Group, comparison: Comparison | None) -> dict[str, Any]:
    return {
        "name": group.name,
        "baseline": comparison.baseline.name if comparison else None,
        "phases": [[printable(str(phase["name"])), phase["start"]] for phase in group.runs[0].get("phases") or []],
        "curves": {name: [epochs, _scaled(name, values)] for name, (epochs, values) in group_curves(group).items()},
        **class_series(group, comparison),
    }


def _scaled(name: str, values: Sequence[float]) -> list[float]:
    """Values with four digits; fractions in percent."""
    factor = 1 if name in ("train/loss", "lr") else 100
    return [float(f"{factor * value:.4g}") for value in values]


def read_curves(path: Path) -> dict[str, dict[int, float]]:
    """Read the curves of a run: value by epoch, by name.

    Args:
        path: a ``metrics.csv``. Cells that are no numbers are left out; a missing file has no curves.

    Example:
        >>> read_curves(Path("nowhere.csv"))
        {}
    """
    curves: dict[str, dict[int, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                epoch = _number(row.get("epoch"))
                for name in CURVES:
                    if epoch is not None and (value := _number(row.get(name))) is not None:
                        curves.setdefault(name, {})[int(epoch)] = value
    except (OSError, ValueError, csv.Error):
        return {}
    return curves


def group_curves(group: Group) -> dict[str, list[list[Any]]]:
    """Return the mean curves of a group, at a subset of the epochs that all runs with the curve have.

    Args:
        group: the group; its runs have their ``folder``.

    Returns:
        ``{name: [epochs, values]}``, at most :data:`POINTS` each, first and last epoch included.
    """
    runs = [read_curves(run["folder"] / "metrics.csv") for run in group.runs if "folder" in run]
    curves: dict[str, list[list[Any]]] = {}
    for name in CURVES:
        having = [run[name] for run in runs if name in run]
        if having and (epochs := sorted(set.intersection(*(set(curve) for curve in having)))):
            chosen = _thinned(epochs)
            curves[name] = [chosen, [float(np.mean([curve[epoch] for curve in having])) for epoch in chosen]]
    return curves


def _thinned(epochs: Sequence[int]) -> list[int]:
    places = np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).round().astype(int)
    return [epochs[place] for place in places]


def _number(cell: Any) -> float | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
