"""The tables of a report in one form, which the terminal, Markdown, LaTeX, CSV and the page render."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from oponm.longtail import SHOTS, THIRDS
from oponm.report.classes import fifths
from oponm.report.compare import Comparison
from oponm.report.group import Group, known
from oponm.report.paired import Difference
from oponm.report.published import (
    FIFTHS,
    lead,
    published_difference,
    published_fifths,
    published_figures,
    remark,
    sources_of,
)
from oponm.report.text import printable, shortened

FIRST = "balanced_accuracy"
RAREST = (SHOTS[-1], THIRDS[-1])
PLOT_WIDTH = 120  # width of the intervals drawn in the page, as in page.html
_EDGE = 4.0
_OF_TWO = ("roc_auc", "average_precision")  # which depend on no threshold, for sets of two classes
_FURTHER = ("accuracy", "top5_accuracy", "macro_f1", "geometric_mean", "ece")
_NAMES = {"top5_accuracy": "top-5", "macro_f1": "macro F1", "roc_auc": "ROC-AUC", "ece": "ECE"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: text for readers.
        value: the value to sort by; NaN if it is unknown.
        below: a smaller line below the text.
        exact: values for programs, in full precision, by column name in the spreadsheet.
        plot: positions of a drawn interval, between 0 and :data:`PLOT_WIDTH`.
    """

    text: str
    value: float | str = ""
    below: str = ""
    exact: dict[str, float | str] = field(default_factory=dict)
    plot: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: id of the column, which the URL of the page contains when the table is sorted by it.
        name: header of the column.
        kind: ``number``, ``text`` or ``plot``.
    """

    key: str
    name: str
    kind: str = "number"


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        name: name of the table.
        columns: all columns; the first one names the rows.
        rows: a cell per column. The value of the first cell is the name of a group.
        brief: keys of the columns in text formats (terminal, Markdown, LaTeX), in order; empty if these omit the table.
        wide: keys of the columns in the HTML page, in order.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    brief: Sequence[str]
    wide: Sequence[str]

    def chosen(self, keys: Sequence[str]) -> Table:
        """The table with these columns only.

        Args:
            keys: keys of columns.
        """
        place = {column.key: number for number, column in enumerate(self.columns)}
        places = [place[key] for key in keys]
        rows = [[row[place] for place in places] for row in self.rows]
        return Table(self.name, [self.columns[place] for place in places], rows, keys, keys)


def report_tables(groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> list[Table]:
    """The tables of results, paired differences and fifths of the classes, as far as they are known.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.

    Returns:
        Tables called ``results``, ``differences`` and ``tail``.

    Example:
        >>> run = {"seed": 0, "metrics": {"few": 0.5}, "train_seconds": 2.0, "class_counts": [9, 1], "recall": []}
        >>> (table,) = report_tables([Group("erm", [run])])
        >>> table.name, [cell.text for cell in table.chosen(["method", "few"]).rows[0]]
        ('results', ['erm', '50.0'])
    """
    tables = [result_table(groups), difference_table(comparisons) if comparisons else None, tail_table(groups)]
    return [table for table in tables if table]


def result_table(groups: Sequence[Group]) -> Table:
    """Make the table of results: mean ± standard error of every metric in percent, and published accuracies.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
    """
    sources = sources_of(map(published_figures, groups))
    measured = list(dict.fromkeys(name for group in groups for run in group.runs for name in run["metrics"]))
    parts = class_groups(groups)
    metrics = [*measured, *(name for name in (FIRST, *parts) if name not in measured)]
    columns = [Column("method", "method", "text"), Column("seeds", "seeds"), *map(_metric, metrics)]
    columns.append(Column("worst_class", "worst class"))
    worst = ["worst_class"] if any(known(group.mean_and_error("worst_class")[0]) for group in groups) else []
    columns += [Column("seconds", "seconds"), *(Column(f"published {name}", printable(name)) for name in sources)]
    rows = []
    for group in groups:
        name = group.name + (" *" if group.tuned_on_test else "")
        row = [Cell(name, group.name, exact={"method": group.name})]
        repeats = group.folds or str(len(group.runs))
        row.append(Cell(repeats, len(group.runs), exact={"seeds": repeats}))
        row += [_measured(group, metric, metric in measured) for metric in metrics]
        row.append(_worst(group))
        spent, error = group.mean_and_error("seconds")
        row.append(Cell(f"{spent:.1f}", spent, exact={"seconds": spent, "seconds_error": error}))
        row += [_published(group, source) for source in sources]
        if note := remark(group):
            row[-1].exact["note"] = note
        rows.append(row)
    beside = [f"published {source}" for source in sources]
    further = [name for name in _FURTHER if name in measured]
    two = any(len(run.get("class_counts", [])) == 2 for group in groups for run in group.runs)
    ranked = [name for name in _OF_TWO if two and name in measured]
    brief = ["method", "seeds", FIRST, *parts, *worst, *ranked, *beside, "seconds"]
    wide = ["method", FIRST, *beside, *parts, *worst, *ranked, *further, "seeds", "seconds"]
    return Table("results", columns, rows, brief, wide)


def difference_table(comparisons: Sequence[Comparison]) -> Table:
    """Make the table of differences in percentage points: 95 % intervals, p-values by Holm's method, published ones.

    Args:
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
    """
    first, *parts = compared = (FIRST, *class_groups([comparison.group for comparison in comparisons]))
    sources = sources_of(map(published_difference, comparisons))
    columns = [Column("method", "method", "text"), Column("minus", "minus", "text"), Column("pairs", "pairs")]
    columns.append(Column("interval", "95 % interval", "plot"))
    columns += [Column(f"published {source} difference", printable(source)) for source in sources]
    for metric in compared:
        columns += [_metric(metric), Column(f"p {metric}", "p")]
    scale = _plot_scale([comparison.differences[first] for comparison in comparisons])
    rows = []
    for comparison in comparisons:
        pairs, base = max(one.n for one in comparison.differences.values()), comparison.baseline.name
        row = [Cell(comparison.group.name, comparison.group.name), Cell(base, base, exact={"baseline": base})]
        row.append(Cell(str(pairs), pairs, exact={"pairs": str(pairs)}))
        row.append(Cell("", plot=_plot(comparison.differences[first], scale)))
        row += [_lead(published_difference(comparison).get(source), source) for source in sources]
        for metric in compared:
            row += _difference(comparison, metric)
        rows.append(row)
    beside = [f"published {source} difference" for source in sources]
    brief = ["method", "minus", "pairs", first, f"p {first}", *beside]
    brief += [key for metric in parts if metric in RAREST for key in (metric, f"p {metric}")]
    found = [metric for metric in parts if any(comparison.differences[metric].n for comparison in comparisons)]
    return Table("differences", columns, rows, brief, ["method", "interval", first, *beside, *found, "minus", "pairs"])


def tail_table(groups: Sequence[Group]) -> Table | None:
    """Make the table of accuracy by fifths of the classes, in percent, head to tail; published values in rows below.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.

    Returns:
        The table; text formats (terminal, Markdown, LaTeX) include it only if there are published values. None if all
        groups have fewer than five classes.
    """
    rows = []
    for group in groups:
        published = published_fifths(group)
        names = [f"fifth_{number}" for number in range(1, 6)] if published else []
        rows.append([Cell(group.name, group.name), *_fifths(fifths(group), names)])
        for source, values in published.items():
            cells = [
                Cell(percent(value / 100, math.nan), value / 100, exact={f"published_{source}_fifth_{number}": value})
                for number, value in enumerate(values, start=1)
            ]
            name = Cell(f"{group.name} ({printable(source)})", group.name)
            rows.append([name, *cells, *[Cell("-")] * (len(FIFTHS) - len(cells))])
    if all(cell.value == "" for row in rows for cell in row[1:]):
        return None
    columns = [Column("method", "method", "text"), *(Column(name, name) for name in FIFTHS)]
    keys = [column.key for column in columns]
    return Table("tail", columns, rows, keys if any(map(published_fifths, groups)) else [], keys)


def class_groups(groups: Sequence[Group]) -> list[str]:
    """Return the groups of classes that runs have metrics of.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.

    Returns:
        ``many``, ``medium`` and ``few``, or ``head``, ``middle`` and ``tail``, or all six; the first three if no run
        has metrics of groups.

    Example:
        >>> class_groups([Group("erm", [{"metrics": {"head": 0.9, "tail": 0.5}}])])
        ['head', 'middle', 'tail']
    """
    measured = {name for group in groups for run in group.runs for name in run["metrics"]}
    return [name for names in (SHOTS, THIRDS) if measured & {*names} for name in names] or [*SHOTS]


def percent(mean: float, error: float) -> str:
    """Format a mean and its standard error.

    Example:
        >>> percent(0.712, 0.004), percent(0.712, math.nan), percent(math.nan, math.nan)
        ('71.2 ± 0.4', '71.2', '-')
    """
    spread = "" if math.isnan(error) else f" ± {100 * error:.1f}"
    return "-" if math.isnan(mean) else f"{100 * mean:.1f}{spread}"


def interval(difference: Difference) -> str:
    """Format a difference and its interval in percentage points.

    Example:
        >>> interval(Difference(3, 0.012, -0.003, 0.027, 0.1)), interval(Difference(1, -0.012)), interval(Difference(0))
        ('+1.2 [-0.3, +2.7]', '-1.2', '-')
    """
    if math.isnan(difference.mean):
        return "-"
    spread = "" if math.isnan(difference.low) else f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    return f"{100 * difference.mean:+.1f}{spread}"


def probability(p: float) -> str:
    """Format a p-value.

    Example:
        >>> probability(0.0314), probability(1e-9), probability(math.nan)
        ('0.031', '<0.001', '-')
    """
    return "-" if math.isnan(p) else "<0.001" if p < 0.0005 else f"{p:.3f}"


def _metric(key: str) -> Column:
    return Column(key, _NAMES.get(key, key.replace("_", " ")))


def _measured(group: Group, metric: str, known: bool) -> Cell:
    mean, error = group.mean_and_error(metric)
    exact: dict[str, float | str] = {metric: mean, f"{metric}_error": error} if known else {}
    return Cell(percent(mean, error), mean, exact=exact)


def _worst(group: Group) -> Cell:
    cell = _measured(group, "worst_class", known(group.mean_and_error("worst_class")[0]))
    lowest = [shortened(group.runs[0]["class_names"][label]) for label in group.worst_classes()]
    more = f" and {len(lowest) - 1} more" if len(lowest) > 1 else ""
    return replace(cell, text=f"{cell.text} ({lowest[0]}{more})") if lowest else cell


def _published(group: Group, source: str) -> Cell:
    value = published_figures(group).get(source)
    if value is None:
        return Cell("-", math.nan)
    return Cell(f"{value:.1f}", value, exact={f"published_{source}": value})


def _lead(bounds: tuple[float, float] | None, source: str) -> Cell:
    if bounds is None:
        return Cell("-", math.nan)
    ends = zip(("low", "high"), bounds, strict=True)
    exact: dict[str, float | str] = {f"published_{source}_difference_{name}": bound for name, bound in ends}
    return Cell(lead(bounds), sum(bounds) / 200, exact=exact)


def _difference(comparison: Comparison, metric: str) -> list[Cell]:
    """A difference and its p-value."""
    found, p = comparison.differences[metric], comparison.adjusted[metric]
    named = {"difference": found.mean, "difference_low": found.low, "difference_high": found.high}
    named |= {"p": found.p, "p_holm": p}
    below = "" if math.isnan(p) else f"p {probability(p)}"
    exact: dict[str, float | str] = {f"{metric}_{name}": value for name, value in named.items()}
    return [Cell(interval(found), found.mean, below, exact), Cell(probability(p), p)]


def _fifths(parts: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Cell]:
    """A cell for each fifth; without names, nothing for programs."""
    cells = [Cell(percent(mean, error), mean) for mean, error in parts]
    for cell, name, (mean, error) in zip(cells, names, parts, strict=False):
        cell.exact.update({name: mean, f"{name}_error": error})
    return cells or [Cell("-")] * len(FIFTHS)


def _plot_scale(differences: Sequence[Difference]) -> tuple[float, float]:
    """The range that all intervals of a table share; a single wide interval does not compress the others."""
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
