"""Tables in Markdown: of reports, model cards and loggers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "\\|", "\\": "\\\\"})


def markdown_rows(rows: Sequence[Sequence[Any]], texts: int) -> str:
    r"""Render rows as a Markdown table with numbers aligned right.

    Args:
        rows: the header, then the cells of each row, as text or numbers.
        texts: number of columns from the left that contain text.

    Example:
        >>> print(markdown_rows([["class", "images"], ["a|b", 12]], 1), end="")
        | class | images |
        | --- | ---: |
        | a\|b | 12 |
    """
    alignment = ["---"] * texts + ["---:"] * (len(rows[0]) - texts)
    escaped = [[markdown_text(str(cell)) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in (escaped[0], alignment, *escaped[1:]))


def markdown_text(text: str) -> str:
    r"""Escape text for Markdown: no column borders, no HTML; code in backticks stays.

    Example:
        >>> markdown_text("a|b & <c>")
        'a\\|b &amp; &lt;c>'
    """
    return text.translate(_SPECIAL)
