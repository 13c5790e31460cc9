"""Everything of the tables in full precision, for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from oponm.report.classes import fifths
from oponm.report.compare import COMPARED, Comparison
from oponm.report.group import Group
from oponm.report.published import published_difference, published_fifths, remark
from oponm.report.table import published_sources


def csv_table(groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> str:
    """A line a group: mean and standard error of every metric, what was published, differences, all as shares.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
        comparisons: see :func:`~oponm.report.compare`.

    Returns:
        CSV with a header; unknown figures are empty. Published figures stay in percent, and published differences in
        points, from least to most. Fifths of the classes, head to tail, are there where others published theirs.

    Example:
        >>> run = {"seed": 0, "metrics": {"accuracy": 0.5}, "train_seconds": 2.0}
        >>> print(csv_table([Group("erm", [run])]))
        method,seeds,baseline,pairs,accuracy,accuracy_error,seconds,seconds_error
        erm,1,,,0.5,,2.0,
    """
    metrics = list(dict.fromkeys(name for group in groups for run in group.runs for name in run["metrics"]))
    against = {id(comparison.group): comparison for comparison in comparisons}
    rows = [_row(group, metrics, against.get(id(group))) for group in groups]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(group: Group, metrics: Sequence[str], comparison: Comparison | None) -> dict[str, str]:
    differences = comparison.differences if comparison else {}
    row = {
        "method": _harmless(group.name),
        "seeds": str(len(group.runs)),
        "baseline": _harmless(comparison.baseline.name) if comparison else "",
        "pairs": str(max(difference.n for difference in differences.values())) if differences else "",
    }
    for metric in (*metrics, "seconds"):
        mean, error = group.mean_and_error(metric)
        row |= {_harmless(metric): _number(mean), _harmless(f"{metric}_error"): _number(error)}
    for source in published_sources([group]):
        row[_harmless(f"published_{source}")] = _number(group.published[source])
    if published := published_fifths(group):
        for number, (mean, error) in enumerate(fifths(group), start=1):
            row |= {f"fifth_{number}": _number(mean), f"fifth_{number}_error": _number(error)}
        for source, values in published.items():
            row |= {
                _harmless(f"published_{source}_fifth_{number}"): _number(value)
                for number, value in enumerate(values, start=1)
            }
    for source, bounds in (published_difference(comparison) if comparison else {}).items():
        for name, bound in zip(("low", "high"), bounds, strict=True):
            row[_harmless(f"published_{source}_difference_{name}")] = _number(bound)
    if note := remark(group):
        row["note"] = _harmless(note)
    for metric in COMPARED if comparison else ():
        difference = differences[metric]
        for name, value in (("", difference.mean), ("_low", difference.low), ("_high", difference.high)):
            row[f"{metric}_difference{name}"] = _number(value)
        row[f"{metric}_p"] = _number(difference.p)
        row[f"{metric}_p_holm"] = _number(comparison.adjusted[metric]) if comparison else ""
    return row


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(round(value, 8))


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
