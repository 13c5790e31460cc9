"""Renders tables for the terminal, as Markdown, as LaTeX and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from oponm.markdown import markdown_rows
from oponm.report.tables import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_NUMBER = re.compile(r"-|[<+-]?\d[\d.]*( ± [\d.]+)?( \[[+-][\d.]+, [+-][\d.]+\])?")
_LEADING = ("method", "seeds", "baseline", "pairs")  # columns of each spreadsheet


def terminal(table: Table) -> TerminalTable:
    """A table for the terminal; text columns may wrap, preferably between words; numbers do not.

    Args:
        table: a table, see :func:`~oponm.report.report_tables`.
    """
    shown = TerminalTable(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table = table.chosen(table.brief)
    for number, column in enumerate(table.columns):
        cells = [row[number].text for row in table.rows]
        if column.kind == "text":
            longest = max(len(word) for cell in (column.name, *cells) for word in cell.split())
            shown.add_column(column.name, min_width=min(longest, 40), overflow="fold")
        else:
            longest = max(map(len, [*column.name.split(), *cells]))
            shown.add_column(column.name.replace(" ", "\n"), justify="right", no_wrap=True, min_width=longest)
    for row in table.rows:
        shown.add_row(*(Text(cell.text) for cell in row))  # no markup, as names may contain brackets
    return shown


def markdown(table: Table) -> str:
    """Render a table as Markdown.

    Args:
        table: a table, see :func:`~oponm.report.report_tables`.

    Returns:
        Lines with a final line break.
    """
    rows, texts = _texts(table)
    return markdown_rows(rows, texts)


def latex(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Render tables as ``tabular`` environments, in the style of booktabs, for use in a float.

    Args:
        tables: the tables, see :func:`~oponm.report.report_tables`.
        notes: lines for comments at the top, see :func:`~oponm.report.notes`.

    Returns:
        LaTeX that needs the packages booktabs and, for quotation marks in names, fontenc with T1.
    """
    comments = "".join(f"% {line}\n" for line in notes)
    shown = [_tabular(*_texts(table)) for table in tables if table.brief]
    return "% \\usepackage{booktabs} \\usepackage[T1]{fontenc}\n" + comments + "\n" + "\n".join(shown)


def latex_text(text: str) -> str:
    r"""Escape text for LaTeX.

    Example:
        >>> latex_text("open noise.delta=50% a_b")
        'open noise.delta=50\\% a\\_b'
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def spreadsheet(tables: Sequence[Table]) -> str:
    """Render all values of the tables as CSV, one row per group, in full precision, for programs.

    Args:
        tables: the tables, see :func:`~oponm.report.report_tables`.

    Returns:
        CSV with a header; unknown values are empty. Metrics are fractions in [0, 1]. Published accuracies are in
        percent, and published differences in percentage points, with columns for minimum (low) and maximum (high).

    Example:
        >>> from oponm.report import Group
        >>> from oponm.report.tables import result_table
        >>> run = {"seed": 0, "metrics": {"accuracy": 0.5}, "train_seconds": 2.0}
        >>> print(spreadsheet([result_table([Group("erm", [run])])]))
        method,seeds,baseline,pairs,accuracy,accuracy_error,seconds,seconds_error
        erm,1,,,0.5,,2.0,
    """
    lines: dict[str, dict[str, str]] = {}
    for table in tables:
        for row in table.rows:
            line = lines.setdefault(str(row[0].value), {})
            line |= {_harmless(name): _exact(value) for cell in row for name, value in cell.exact.items()}
    text = io.StringIO()
    columns = dict.fromkeys([*_LEADING, *(name for line in lines.values() for name in line)])
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines.values())
    return text.getvalue()


def _texts(table: Table) -> tuple[list[list[str]], int]:
    """The rows of a table for text formats, the header first, and the number of text columns, which come first."""
    table = table.chosen(table.brief)
    head = [column.name for column in table.columns]
    return [head, *([cell.text for cell in row] for row in table.rows)], sum(c.kind == "text" for c in table.columns)


def _tabular(rows: Sequence[Sequence[str]], texts: int) -> str:
    columns = "l" * texts + "r" * (len(rows[0]) - texts)
    header, *body = [" & ".join(_latex_cell(cell, number >= texts) for number, cell in enumerate(row)) for row in rows]
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{header} \\", r"\midrule"]
    lines += [rf"{line} \\" for line in body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cell(cell: str, numeric: bool) -> str:
    """Set a number in math mode, where a hyphen is a minus sign."""
    if numeric and _NUMBER.fullmatch(cell):
        return "--" if cell == "-" else f"${cell.replace(' ± ', chr(92) + 'pm ').replace(' [', chr(92) + ' [')}$"
    return latex_text(cell)


def _exact(value: float | str) -> str:
    if isinstance(value, str):
        return _harmless(value)
    return "" if math.isnan(value) else repr(round(value, 8))


def _harmless(text: str) -> str:
    """Text that no spreadsheet interprets as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
