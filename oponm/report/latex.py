"""The tables of a report for a LaTeX document, in the manner of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.table import Rows, difference_rows, notes, result_rows, tail_rows

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


def latex_tables(groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> str:
    """Results, paired differences and fifths of the classes as ``tabular`` environments to be put into a float.

    Differences are there if there are comparisons, fifths if others published theirs.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
        comparisons: see :func:`~oponm.report.compare`.

    Returns:
        LaTeX that needs the packages booktabs and, for quotation marks in names, fontenc with T1.
    """
    tables = [_tabular(result_rows(groups), texts=1)]
    if comparisons:
        tables.append(_tabular(difference_rows(comparisons), texts=2))
    if tail := tail_rows(groups):
        tables.append(_tabular(tail, texts=1))
    comments = "".join(f"% {line}\n" for line in notes(groups, comparisons))
    return "% \\usepackage{booktabs} \\usepackage[T1]{fontenc}\n" + comments + "\n" + "\n".join(tables)


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    Example:
        >>> latex_text("open noise.delta=50% a_b")
        'open noise.delta=50\\% a\\_b'
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def _tabular(rows: Rows, texts: int) -> str:
    columns = "l" * texts + "r" * (len(rows[0]) - texts)
    header, *body = [" & ".join(_cell(cell, number >= texts) for number, cell in enumerate(row)) for row in rows]
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{header} \\", r"\midrule"]
    lines += [rf"{line} \\" for line in body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(cell: str, numeric: bool) -> str:
    """A number in mathematics, where a hyphen is a minus sign."""
    if numeric and _NUMBER.fullmatch(cell):
        return "--" if cell == "-" else f"${cell.replace(' ± ', chr(92) + 'pm ').replace(' [', chr(92) + ' [')}$"
    return latex_text(cell)
