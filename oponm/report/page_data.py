"""Data of the page's figures: means of groups, with classes and epochs thinned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from oponm.report.classes import BINS, MATRIX_BINS, Classes, class_series
from oponm.report.compare import Comparison
from oponm.report.curves import group_curves
from oponm.report.group import Group
from oponm.report.tables import FIRST
from oponm.report.text import printable

NUMBERED = 30  # classes of a single run whose confusion matrix is a table of numbers
SHOWN = 5  # groups in the figures before the reader chooses


def figure_data(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The data of all figures of all groups; page.js draws the chosen ones.

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
    """The groups to look at first: the baselines, then the best by balanced accuracy.

    Args:
        groups: groups of one split.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
        most: largest number of groups.

    Returns:
        At most ``most`` groups, in the order of ``groups``.
    """
    bases = {id(comparison.baseline) for comparison in comparisons}

    def rank(group: Group) -> tuple[bool, bool, float]:
        score = group.mean_and_error(FIRST)[0]
        return (id(group) not in bases, math.isnan(score), -score)

    chosen = {id(group) for group in sorted(groups, key=rank)[:most]}
    return [group for group in groups if id(group) in chosen]


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
    """Values with four digits; shares in percent."""
    factor = 1 if name in ("train/loss", "lr") else 100
    return [float(f"{factor * value:.4g}") for value in values]
