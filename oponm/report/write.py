"""Writes the files of a report: all of them, each whole, or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from oponm.report.class_table import class_table
from oponm.report.compare import Comparison
from oponm.report.figure import recall_figure
from oponm.report.group import Group
from oponm.report.notes import notes
from oponm.report.page import html_page
from oponm.report.page_data import highlights
from oponm.report.render import latex, markdown, markdown_text, spreadsheet
from oponm.report.tables import Table, report_tables

LINES = 10  # lines in a panel of the figure


def write_report(
    groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str], folder: Path
) -> list[Path]:
    """Write ``report.md``, ``.tex``, ``.csv``, ``.png`` and ``.html``.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
        problems: lines about runs that were left out.
        folder: the folder; made if needed. Files of an earlier report are replaced when all new ones are written.

    Returns:
        The files.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables, told = report_tables(groups, comparisons), notes(groups, comparisons)
    texts = {
        "report.md": _markdown(tables, told, problems, class_tables(groups)),
        "report.tex": latex(tables, told),
        "report.csv": spreadsheet(tables),
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
    """The groups of each split that a figure can show."""
    splits = dict.fromkeys(group.split for group in groups)
    members = [[group for group in groups if group.split == split] for split in splits]
    return [group for split in members for group in highlights(split, comparisons, LINES)]


def class_tables(groups: Sequence[Group], most: int | None = None) -> list[Table]:
    """The table of the classes, for a report of a single run; none for several, whose page has them.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        most: largest number of rows, see :func:`~oponm.report.class_table.class_table`.
    """
    runs = [run for group in groups for run in group.runs]
    return [class_table(run, most) for run in runs if run["metrics"]] if len(runs) == 1 else []


def _markdown(
    tables: Sequence[Table], told: Sequence[str], problems: Sequence[str], classes: Sequence[Table] = ()
) -> str:
    parts = [markdown(table) for table in (*(table for table in tables if table.brief), *classes)]
    parts += [f"{markdown_text(line)}\n" for line in told]
    parts.append("![accuracy by class](report.png)\n")
    if problems:
        parts.append("".join(f"- {markdown_text(problem)}\n" for problem in problems))
    return "\n".join(parts)
