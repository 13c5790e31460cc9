"""Tables of group means, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from oponm.report.collect import Group

_COLUMNS = ("balanced_accuracy", "many", "medium", "few")


def _cells(group: Group) -> list[str]:
    cells = [group.name, str(len(group.runs))]
    for metric in _COLUMNS:
        mean, error = group.mean_and_error(metric)
        spread = "" if math.isnan(error) else f" ± {100 * error:.1f}"
        cells.append("-" if math.isnan(mean) else f"{100 * mean:.1f}{spread}")
    return [*cells, f"{group.mean_and_error('seconds')[0]:.1f}"]


def _header() -> list[str]:
    return ["method", "seeds", *(name.replace("_", " ") for name in _COLUMNS), "seconds"]


def terminal_table(groups: Sequence[Group]) -> Table:
    """Mean ± standard error in percent, a row a group.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
    """
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    longest_word = max(len(word) for group in groups for word in group.name.split())
    for number, name in enumerate(_header()):
        if number:
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
        else:
            table.add_column(name, min_width=longest_word, overflow="fold")
    for group in groups:
        table.add_row(*map(Text, _cells(group)))  # not markup: names may hold brackets
    return table


def markdown_table(groups: Sequence[Group]) -> str:
    """The same as a Markdown table.

    Args:
        groups: see :func:`~oponm.report.group_runs`.

    Returns:
        Lines with a final line break.
    """
    rows = [_header(), ["---", *["---:"] * (len(_header()) - 1)], *(_cells(group) for group in groups)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)
