"""The files of a report: all of them, each whole, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from oponm.report.compare import Comparison
from oponm.report.figure import recall_figure
from oponm.report.group import Group
from oponm.report.latex import latex_tables
from oponm.report.page import html_page
from oponm.report.page_data import highlights
from oponm.report.spreadsheet import csv_table
from oponm.report.table import markdown_differences, markdown_table, markdown_tail, markdown_text, notes

LINES = 10  # of a panel of the figure


def write_report(
    groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str], folder: Path
) -> list[Path]:
    """Write ``report.md``, ``.tex``, ``.csv``, ``.png`` and ``.html``.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
        comparisons: see :func:`~oponm.report.compare`.
        problems: lines about runs that are left out.
        folder: made if need be. Files of an earlier report are replaced when all new ones are written.

    Returns:
        The files.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.md": _markdown(groups, comparisons, problems),
        "report.tex": latex_tables(groups, comparisons),
        "report.csv": csv_table(groups, comparisons),
        "report.html": html_page(groups, comparisons, problems),
    }
    unfinished = folder / f".report.{os.getpid()}"
    unfinished.mkdir()
    try:
        for name, text in texts.items():
            (unfinished / name).write_text(text, encoding="utf-8", newline="\n")
        recall_figure(_drawn(groups, comparisons), unfinished / "report.png")
        files = [*texts, "report.png"]
        for name in files:
            (unfinished / name).replace(folder / name)
    finally:
        shutil.rmtree(unfinished)
    return [folder / name for name in files]


def _drawn(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> list[Group]:
    """Of each split as many groups as can be told apart."""
    splits = dict.fromkeys(group.split for group in groups)
    members = [[group for group in groups if group.split == split] for split in splits]
    return [group for split in members for group in highlights(split, comparisons, LINES)]


def _markdown(groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str]) -> str:
    parts = [markdown_table(groups)]
    if comparisons:
        parts.append(markdown_differences(comparisons))
    if tail := markdown_tail(groups):
        parts.append(tail)
    parts += [f"{markdown_text(line)}\n" for line in notes(groups, comparisons)]
    parts.append("![accuracy by class](report.png)\n")
    if problems:
        parts.append("".join(f"- {markdown_text(problem)}\n" for problem in problems))
    return "\n".join(parts)
