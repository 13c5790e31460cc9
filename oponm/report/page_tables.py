"""The tables of the page: cells with the number that they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from oponm.report.compare import COMPARED, Comparison
from oponm.report.group import Group
from oponm.report.paired import Difference
from oponm.report.published import FIFTHS, difference_sources, lead, published_difference, tail
from oponm.report.table import METRICS, interval, percent, probability, published_sources
from oponm.report.text import printable

PLOT_WIDTH = 120  # of the intervals drawn in the table, as in page.html
_EDGE = 4.0
_FURTHER = ("accuracy", "top5_accuracy", "macro_f1", "geometric_mean", "ece")
_NAMES = {"top5_accuracy": "top-5", "macro_f1": "macro F1", "geometric_mean": "geometric mean", "ece": "ECE"}


def _column(key: str, name: str | None = None, kind: str = "number") -> dict[str, Any]:
    """A column's key in the page's address, its header, and what its cells are: ``number``, ``text`` or ``plot``."""
    return {"key": key, "name": name or _NAMES.get(key, key.replace("_", " ")), "kind": kind}


def _cell(text: str, value: float | str = "", below: str = "") -> dict[str, Any]:
    missing = isinstance(value, float) and math.isnan(value)
    return {
        "text": text,
        "value": "" if missing else value if isinstance(value, str) else round(value, 8),
        "below": below,
    }


def result_table(groups: Sequence[Group]) -> dict[str, Any]:
    """Mean ± standard error of every metric, and what others published beside the first.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        ``columns`` and ``rows``; a cell is its ``text``, the ``value`` it is sorted by, and a small line ``below``.
    """
    sources = published_sources(groups)
    measured = {name for group in groups for run in group.runs for name in run["metrics"]}
    first, *others = [*METRICS, *(name for name in _FURTHER if name in measured)]
    columns = [_column("method", kind="text"), _column(first)]
    columns += [_column(f"published {source}", printable(source)) for source in sources]
    columns += [*map(_column, others), _column("seeds"), _column("seconds")]
    rows = []
    for group in groups:
        row = [_cell(group.name + (" *" if group.tuned_on_test else "")), _measured(group, first)]
        published = [group.published.get(source, math.nan) for source in sources]
        row += [_cell("-" if math.isnan(value) else f"{value:.1f}", value) for value in published]
        row += [_measured(group, name) for name in others]
        spent = group.mean_and_error("seconds")[0]
        rows.append([*row, _cell(str(len(group.runs)), len(group.runs)), _cell(f"{spent:.1f}", spent)])
    return {"columns": columns, "rows": rows}


def _measured(group: Group, metric: str) -> dict[str, Any]:
    mean, error = group.mean_and_error(metric)
    return _cell(percent(mean, error), mean)


def difference_table(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Paired differences with p-values below, the first with its interval drawn and published ones behind it.

    Args:
        comparisons: at least one, see :func:`~oponm.report.compare`.

    Returns:
        As :func:`result_table`; a cell of the column ``interval`` holds places between 0 and :data:`PLOT_WIDTH`.
    """
    first = COMPARED[0]
    metrics = [m for m in COMPARED if any(comparison.differences[m].n for comparison in comparisons)]
    sources = difference_sources(comparisons)
    columns = [_column("method", kind="text"), _column("interval", "95 % interval", kind="plot"), _column(first)]
    columns += [_column(f"published {source} difference", printable(source)) for source in sources]
    columns += [*map(_column, metrics[1:]), _column("minus", kind="text"), _column("pairs")]
    scale = _plot_scale([comparison.differences[first] for comparison in comparisons])
    rows = []
    for comparison in comparisons:
        row = [_cell(comparison.group.name), {"plot": _plot(comparison.differences[first], scale)}]
        for metric in metrics:
            difference, p = comparison.differences[metric], comparison.adjusted[metric]
            row.append(_cell(interval(difference), difference.mean, "" if math.isnan(p) else f"p {probability(p)}"))
            if metric == first:
                published = [published_difference(comparison).get(source) for source in sources]
                row += [_cell(lead(bounds), sum(bounds) / 200 if bounds else math.nan) for bounds in published]
        pairs = max(difference.n for difference in comparison.differences.values())
        rows.append([*row, _cell(comparison.baseline.name), _cell(str(pairs), pairs)])
    return {"columns": columns, "rows": rows}


def _plot_scale(differences: Sequence[Difference]) -> tuple[float, float]:
    """The range that intervals drawn in a table share; a single wide one does not press all others together."""
    ends = [end for d in differences for end in (d.mean, d.low, d.high) if not math.isnan(end)]
    widest = 3 * max((abs(d.mean) for d in differences if not math.isnan(d.mean)), default=0.0) or 1.0
    return max(min([0.0, *ends]), -widest), min(max([0.0, *ends]), widest)


def _plot(difference: Difference, scale: tuple[float, float]) -> dict[str, float | None]:
    low, high = scale
    parts = {"zero": 0.0, "mean": difference.mean, "low": difference.low, "high": difference.high}
    return {
        name: None
        if math.isnan(value)
        else round(_EDGE + (min(max(value, low), high) - low) / (high - low or 1) * (PLOT_WIDTH - 2 * _EDGE), 1)
        for name, value in parts.items()
    }


def tail_table(groups: Sequence[Group]) -> dict[str, Any] | None:
    """Accuracy by fifths of the classes, head to tail; what others published of it below ours.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        As :func:`result_table`; None where all groups have fewer than five classes.
    """
    found = tail(groups)
    if not any(parts for _, parts in found):
        return None
    rows = [
        [_cell(name), *([_cell(percent(*one), one[0]) for one in parts] or [_cell("-")] * len(FIFTHS))]
        for name, parts in found
    ]
    return {"columns": [_column("method", kind="text"), *map(_column, FIFTHS)], "rows": rows}
