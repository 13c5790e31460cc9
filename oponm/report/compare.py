"""Compares each group with the baseline of its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oponm.errors import InputError
from oponm.longtail import SHOTS, THIRDS
from oponm.report.group import Group
from oponm.report.paired import Difference, holm, paired_difference
from oponm.report.settings import run_name, setting_lines

COMPARED = ("balanced_accuracy", *SHOTS, *THIRDS)
_DEFAULTS = ("drs", "erm")


@dataclass(frozen=True)
class Comparison:
    """A comparison of a group with its baseline.

    Attributes:
        group: the group.
        baseline: the group to compare with, on the same split.
        differences: differences group minus baseline, by metric.
        adjusted: p-values of the differences, by metric, adjusted by Holm's method over all comparisons of the report.
    """

    group: Group
    baseline: Group
    differences: dict[str, Difference]
    adjusted: dict[str, float]


def compare(groups: Sequence[Group], baseline: str | None = None) -> list[Comparison]:
    """Compare groups on equal seeds with the baseline of their split.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        baseline: name of a group, an experiment or a method; by default ``drs``, else ``erm``, else the first group.
            If several groups have the name, the one whose config is most similar to the compared group is taken.

    Returns:
        A comparison for each group with a baseline other than itself.

    Raises:
        InputError: if no group has the name.

    Example:
        >>> from oponm.report import group_runs
        >>> common = {"overrides": [], "class_counts": [9, 1]}
        >>> runs = [
        ...     {**common, "choices": {"method": method}, "seed": seed, "metrics": {"few": few}}
        ...     for method, values in {"drs": (0.2, 0.4), "open": (0.5, 0.8)}.items()
        ...     for seed, few in enumerate(values)
        ... ]
        >>> for one in compare(group_runs(runs)):
        ...     print(one.group.name, "-", one.baseline.name, round(one.differences["few"].mean, 3))
        open - drs 0.35
    """
    if baseline is not None and not any(_goes_by(group, baseline) for group in groups):
        raise InputError(f"must be one of {', '.join(group.name for group in groups)}; got {baseline!r}", "baseline")
    pairs = [(group, other) for group in groups if (other := _baseline(group, groups, baseline)) and other is not group]
    found = [
        {metric: paired_difference(one.by_seed(metric), other.by_seed(metric)) for metric in COMPARED}
        for one, other in pairs
    ]
    adjusted = {metric: holm([differences[metric].p for differences in found]) for metric in COMPARED}
    return [
        Comparison(*pair, differences, {metric: adjusted[metric][number] for metric in COMPARED})
        for number, (pair, differences) in enumerate(zip(pairs, found, strict=True))
    ]


def _baseline(group: Group, groups: Sequence[Group], name: str | None) -> Group | None:
    """The baseline of a group, which may be the group itself; None if its split has none."""
    peers = [other for other in groups if other.split == group.split]
    for wanted in [name] if name is not None else _DEFAULTS:
        if candidates := [other for other in peers if _goes_by(other, wanted)]:
            return min(candidates, key=lambda other: len(_traits(group) ^ _traits(other)))
    return peers[0] if name is None else None


def _goes_by(group: Group, name: str) -> bool:
    return name in (group.name, group.method, run_name(group.runs[0]))


def _traits(group: Group) -> set[str]:
    """The choices of a group, except the method."""
    run = group.runs[0]
    choices = {f"{key}={choice}" for key, choice in run["choices"].items() if key not in ("method", "experiment")}
    settings = {line for line in setting_lines(run) if not line.startswith("method")}
    return {*choices, *settings, run_name(run).rpartition("/")[0]}
