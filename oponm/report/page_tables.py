"""The tables of the page: cells with the number that they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from oponm.report.classes import fifths
from oponm.report.compare import COMPARED, Comparison
from oponm.report.group import Group
from oponm.report.paired import Difference
from oponm.report.table import METRICS, interval, percent, probability, published_sources
from oponm.report.text import printable

PLOT_WIDTH = 120  # of the intervals drawn in the table, as in page.html
_EDGE = 4.0
_FURTHER = ("accuracy", "top5_accuracy", "macro_f1", "geometric_mean", "ece")
_NAMES = {"top5_accuracy": "top-5", "macro_f1": "macro F1", "geometric_mean": "geometric mean", "ece": "ECE"}


def _column(key: str, name: str | None = None, plot: bool = False) -> dict[str, Any]:
    return {"key": key, "name": name or _NAMES.get(key, key.replace("_", " ")), "plot": plot}


def _cell(text: str, value: float | str = "") -> dict[str, Any]:
    missing = isinstance(value, float) and math.isnan(value)
    return {
        "text": text,
        "value": "" if missing else value if isinstance(value, str) else round(value, 8),
        "plot": None,
    }


def result_table(groups: Sequence[Group]) -> dict[str, Any]:
    """Mean ± standard error of every metric, and what others published.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        ``columns`` and ``rows``; a cell is its ``text`` and the ``value`` it is sorted by.
    """
    sources = published_sources(groups)
    measured = {name for group in groups for run in group.runs for name in run["metrics"]}
    metrics = [*METRICS, *(name for name in _FURTHER if name in measured)]
    columns = [_column("method"), _column("seeds"), *map(_column, metrics)]
    columns += [_column(f"published {source}", printable(source)) for source in sources]
    rows = []
    for group in groups:
        row = [_cell(group.name + (" *" if group.tuned_on_test else "")), _cell(str(len(group.runs)), len(group.runs))]
        row += [_cell(percent(*found), found[0]) for found in map(group.mean_and_error, metrics)]
        published = [group.published.get(source, math.nan) for source in sources]
        row += [_cell("-" if math.isnan(value) else f"{value:.1f}", value) for value in published]
        spent = group.mean_and_error("seconds")[0]
        rows.append([*row, _cell(f"{spent:.1f}", spent)])
    return {"columns": [*columns, _column("seconds")], "rows": rows}


def difference_table(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Paired differences, each with its interval drawn.

    Args:
        comparisons: at least one, see :func:`~oponm.report.compare`.

    Returns:
        As :func:`result_table`; a cell with a ``plot`` holds places between 0 and :data:`PLOT_WIDTH`.
    """
    first = COMPARED[0]
    metrics = [m for m in COMPARED if any(comparison.differences[m].n for comparison in comparisons)]
    columns = [_column("method"), _column("minus"), _column("pairs"), _column("interval", "95 % interval", plot=True)]
    for metric in metrics:
        columns += [_column(metric), _column(f"{metric} p", "p (Holm)")]
    scale = _plot_scale([comparison.differences[first] for comparison in comparisons])
    rows = []
    for comparison in comparisons:
        pairs = max(difference.n for difference in comparison.differences.values())
        row = [_cell(comparison.group.name), _cell(comparison.baseline.name), _cell(str(pairs), pairs)]
        row.append({"plot": _plot(comparison.differences[first], scale)})
        for metric in metrics:
            difference, p = comparison.differences[metric], comparison.adjusted[metric]
            row += [_cell(interval(difference), difference.mean), _cell(probability(p), p)]
        rows.append(row)
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
    """Accuracy by fifths of the classes, head to tail.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        As :func:`result_table`; None where all groups have fewer than five classes.
    """
    found = [fifths(group) for group in groups]
    if not any(found):
        return None
    names = ["head", "2.", "3.", "4.", "tail"]
    rows = [
        [_cell(group.name), *([_cell(percent(*one), one[0]) for one in parts] or [_cell("-")] * len(names))]
        for group, parts in zip(groups, found, strict=True)
    ]
    return {"columns": [_column("method"), *map(_column, names)], "rows": rows}
