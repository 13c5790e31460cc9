"""``oponm report DIR...``: summarizes the runs in folders as tables, plots and an HTML page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from oponm.errors import InputError, check_path

_CLASSES = 40  # rows on the terminal


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise the error as all commands do."""
        raise InputError(f"report: {message}; use: oponm report DIR... [--baseline NAME] [--output DIR]")


def run(arguments: list[str]) -> None:
    """Collect the runs in folders, print their tables, and write the files of the report."""
    parser = _Parser(
        prog="oponm report",
        description="Reads the runs in the folders; writes report.md, .tex, .csv, .png and .html.",
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="+", metavar="DIR", type=Path, help="a run's folder, or one of several runs")
    parser.add_argument(
        "--baseline", metavar="NAME", help="method to compare with; default: drs, else erm, else the first"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="folder of the files; default: the first folder that exists"
    )
    for argument in arguments:
        check_path("a folder's name", argument)
    options = parser.parse_args(arguments)
    for folder in options.folders:
        if "=" in folder.name and not folder.exists():
            raise InputError("is no setting of oponm report: its options are --baseline and --output", str(folder))

    from oponm.report import class_tables, notes, read_report, report_tables, terminal

    report = read_report(options.folders, options.baseline)
    groups, comparisons, problems = report
    files = report.write(options.output or next(folder for folder in options.folders if folder.is_dir()))
    classes = class_tables(groups, _CLASSES)
    shown = [*(table for table in report_tables(groups, comparisons) if table.brief), *classes]
    tables = [terminal(table) for table in shown]
    console = Console(markup=False)
    # No number is cut off; a narrow terminal wraps the tables.
    boundless = console.options.update(width=10_000)
    console.width = max(console.width, 100, *(console.measure(table, options=boundless).minimum for table in tables))
    for table in tables:
        console.print(table)
    hidden = [len(groups[0].runs[0]["class_names"]) - len(table.rows) for table in classes]
    more = [f"{number} more classes, of higher accuracy, are in report.md" for number in hidden if number]
    for line in [*more, *notes(groups, comparisons), *problems]:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"files: {', '.join(os.path.relpath(file) for file in files)}", highlight=False, soft_wrap=True)
