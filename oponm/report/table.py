"""Tables of group means and paired differences, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.paired import Difference
from oponm.report.published import (
    FIFTHS,
    difference_sources,
    lead,
    published_difference,
    published_fifths,
    remarks,
    tail,
)
from oponm.report.shots import shot_notes

METRICS = ("balanced_accuracy", "many", "medium", "few")
TESTED = ("balanced_accuracy", "few")
Rows = list[list[str]]


def result_rows(groups: Sequence[Group]) -> Rows:
    """Mean ± standard error in percent, and what others published; the header first.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    sources = published_sources(groups)
    header = ["method", "seeds", *(name.replace("_", " ") for name in METRICS), *sources, "seconds"]
    return [header, *(_cells(group, sources) for group in groups)]


def difference_rows(comparisons: Sequence[Comparison]) -> Rows:
    """Differences in points with 95 % confidence intervals, and p-values adjusted by Holm's method; the header first.

    Published ones stand behind those in balanced accuracy.

    Args:
        comparisons: see :func:`~oponm.report.compare`.
    """
    header = ["method", "minus", "pairs"]
    sources = difference_sources(comparisons)
    for metric in TESTED:
        header += [metric.replace("_", " "), "p", *(sources if metric == TESTED[0] else [])]
    rows = [header]
    for comparison in comparisons:
        tested = [comparison.differences[metric] for metric in TESTED]
        cells = [comparison.group.name, comparison.baseline.name, str(max(difference.n for difference in tested))]
        for metric, difference in zip(TESTED, tested, strict=True):
            cells += [interval(difference), probability(comparison.adjusted[metric])]
            if metric == TESTED[0]:
                cells += [lead(published_difference(comparison).get(source)) for source in sources]
        rows.append(cells)
    return rows


def tail_rows(groups: Sequence[Group]) -> Rows:
    """Accuracy by fifths of the classes in percent, head to tail, where others published theirs; the header first.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        Nothing if nobody published any.
    """
    if not any(map(published_fifths, groups)):
        return []
    cells = [[name, *([percent(*part) for part in parts] or ["-"] * len(FIFTHS))] for name, parts in tail(groups)]
    return [["method", *FIFTHS], *cells]


def published_sources(groups: Sequence[Group]) -> list[str]:
    """Who published figures of these runs, in order of appearance."""
    return list(dict.fromkeys(source for group in groups for source in group.published))


def percent(mean: float, error: float) -> str:
    """A mean and its standard error.

    Example:
        >>> percent(0.712, 0.004), percent(0.712, math.nan), percent(math.nan, math.nan)
        ('71.2 ± 0.4', '71.2', '-')
    """
    spread = "" if math.isnan(error) else f" ± {100 * error:.1f}"
    return "-" if math.isnan(mean) else f"{100 * mean:.1f}{spread}"


def interval(difference: Difference) -> str:
    """A difference in points and its interval.

    Example:
        >>> interval(Difference(3, 0.012, -0.003, 0.027, 0.1)), interval(Difference(1, -0.012)), interval(Difference(0))
        ('+1.2 [-0.3, +2.7]', '-1.2', '-')
    """
    if math.isnan(difference.mean):
        return "-"
    spread = "" if math.isnan(difference.low) else f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    return f"{100 * difference.mean:+.1f}{spread}"


def probability(p: float) -> str:
    """A p-value.

    Example:
        >>> probability(0.0314), probability(1e-9), probability(math.nan)
        ('0.031', '<0.001', '-')
    """
    return "-" if math.isnan(p) else "<0.001" if p < 0.0005 else f"{p:.3f}"


def notes(groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> list[str]:
    """What a reader of the tables has to know.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
        comparisons: see :func:`~oponm.report.compare`.
    """
    lines = ["percent, mean ± standard error over seeds; seconds a run, those of reused phases included"]
    lines += shot_notes(groups)
    if sources := published_sources(groups):
        lines.append(f"{', '.join(sources)}: published top-1 accuracy")
    if any(map(published_fifths, groups)):
        lines.append(
            "head to tail: accuracy by fifths of the classes, most to fewest training images; published below ours"
        )
    lines += remarks(groups)
    if any(group.tuned_on_test for group in groups):
        lines.append("* the test set doubled as validation set (data.val=test): figures of a best epoch flatter")
    if comparisons:
        lines.append(
            "differences in points, paired on equal seeds and split, with 95 % confidence intervals (t distribution); "
            f"p: paired t-test, adjusted by Holm's method over the {len(comparisons)} rows of a column; "
            "-: fewer than two pairs, or differences without spread"
        )
        if sources := difference_sources(comparisons):
            lines.append(f"{', '.join(sources)} among the differences: published, in points of top-1 accuracy")
        lines.append("intervals and tests speak of other seeds, not of another draw of the training or test images")
    return lines


def terminal_table(groups: Sequence[Group]) -> Table:
    """Mean ± standard error in percent, a row a group.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    return _terminal(result_rows(groups), texts=1)


def terminal_differences(comparisons: Sequence[Comparison]) -> Table:
    """Paired differences, a row a comparison.

    Args:
        comparisons: see :func:`~oponm.report.compare`.
    """
    return _terminal(difference_rows(comparisons), texts=2)


def terminal_tail(groups: Sequence[Group]) -> Table | None:
    """Accuracy by fifths of the classes, if others published theirs.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    rows = tail_rows(groups)
    return _terminal(rows, texts=1) if rows else None


def markdown_table(groups: Sequence[Group]) -> str:
    """The same as :func:`terminal_table` as a Markdown table.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        Lines with a final line break.
    """
    return markdown_rows(result_rows(groups), texts=1)


def markdown_differences(comparisons: Sequence[Comparison]) -> str:
    """The same as :func:`terminal_differences` as a Markdown table.

    Args:
        comparisons: see :func:`~oponm.report.compare`.

    Returns:
        Lines with a final line break.
    """
    return markdown_rows(difference_rows(comparisons), texts=2)


def markdown_tail(groups: Sequence[Group]) -> str:
    """The same as :func:`terminal_tail` as a Markdown table; empty if there is none.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    rows = tail_rows(groups)
    return markdown_rows(rows, texts=1) if rows else ""


def markdown_text(text: str) -> str:
    r"""Text that Markdown shows as it is: no column borders, no HTML.

    Example:
        >>> markdown_text("<b>|x")
        '&lt;b>\\|x'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _cells(group: Group, sources: Sequence[str]) -> list[str]:
    cells = [group.name + (" *" if group.tuned_on_test else ""), str(len(group.runs))]
    cells += [percent(*group.mean_and_error(metric)) for metric in METRICS]
    published = [f"{group.published[source]:.1f}" if source in group.published else "-" for source in sources]
    return [*cells, *published, f"{group.mean_and_error('seconds')[0]:.1f}"]


def _terminal(rows: Rows, texts: int) -> Table:
    """A table whose first ``texts`` columns may be folded, between words where it can be; numbers are not."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for number, name in enumerate(rows[0]):
        if number < texts:
            longest = max(len(word) for row in rows for word in row[number].split())
            table.add_column(name, min_width=min(longest, 40), overflow="fold")
        else:
            longest = max(map(len, [*name.split(), *(row[number] for row in rows[1:])]))
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True, min_width=longest)
    for row in rows[1:]:
        table.add_row(*map(Text, row))  # not markup: names may hold brackets
    return table


def markdown_rows(rows: Rows, texts: int) -> str:
    """A Markdown table, its numbers to the right.

    Args:
        rows: of cells, the head first.
        texts: how many columns, from the left, are no numbers.

    Example:
        >>> print(markdown_rows([["method", "seeds"], ["erm", "3"]], texts=1), end="")
        | method | seeds |
        | --- | ---: |
        | erm | 3 |
    """
    alignment = ["---"] * texts + ["---:"] * (len(rows[0]) - texts)
    escaped = [[markdown_text(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in (escaped[0], alignment, *escaped[1:]))
