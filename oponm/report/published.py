"""What others published of the same runs."""

from __future__ import annotations

from collections.abc import Sequence

from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.text import printable

FIFTHS = ("head", "2.", "3.", "4.", "tail")


def published_sources(groups: Sequence[Group]) -> list[str]:
    """Who published figures of these runs, in order of appearance.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    return list(dict.fromkeys(source for group in groups for source in group.published))


def published_difference(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """Published leads of a group over its baseline, in points, by source: from least to most.

    They are those that the group's runs state for that baseline, and else the difference of the two figures of a
    source that has published both.

    Args:
        comparison: see :func:`~oponm.report.compare`.

    Example:
        >>> drs = {"choices": {"method": "drs"}, "published": {"paper": 83.0, "others": 83.2}}
        >>> open_ = {"published": {"paper": 84.6}, "published_leads": {"drs": {"b": [3, 4]}}}
        >>> published_difference(Comparison(Group("open", [open_]), Group("drs", [drs]), {}, {}))
        {'paper': (1.6, 1.6), 'b': (3.0, 4.0)}
    """
    ours, others = comparison.group.published, comparison.baseline.published
    apart = {source: round(ours[source] - others[source], 6) for source in ours if source in others}
    stated = (comparison.group.runs[0].get("published_leads") or {}).get(comparison.baseline.method) or {}
    found = {}
    for source, lead in {**apart, **stated}.items():
        low, high = lead if isinstance(lead, list) else (lead, lead)
        found[source] = (float(low), float(high))
    return found


def difference_sources(comparisons: Sequence[Comparison]) -> list[str]:
    """Who published such differences, in order of appearance.

    Args:
        comparisons: see :func:`~oponm.report.compare`.
    """
    return list(dict.fromkeys(source for comparison in comparisons for source in published_difference(comparison)))


def lead(bounds: tuple[float, float] | None) -> str:
    """A published difference, as precise as it was stated.

    Args:
        bounds: least and most; None if nothing was published.

    Example:
        >>> lead((3.0, 4.0)), lead((1.6, 1.6)), lead((-0.5, -0.5)), lead(None)
        ('+3 to +4', '+1.6', '-0.5', '-')
    """
    if bounds is None:
        return "-"
    return " to ".join(dict.fromkeys(f"{round(bound, 1):+g}" for bound in bounds))


def published_fifths(group: Group) -> dict[str, list[float]]:
    """Published accuracy of each fifth of the classes, head to tail, in percent, by source."""
    return dict(group.runs[0].get("published_fifths") or {})


def remarks(groups: Sequence[Group]) -> list[str]:
    """What has to be known of published figures, a line for all groups that it is said of.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    said: dict[str, list[str]] = {}
    for group in groups:
        if note := remark(group):
            said.setdefault(note, []).append(group.name)
    return [f"{', '.join(names)}: {note}" for note, names in said.items()]


def remark(group: Group) -> str:
    """What has to be known of a group's published figures."""
    return printable(str(group.runs[0].get("published_note") or ""))
