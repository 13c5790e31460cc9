"""``oponm report DIR...``: the runs below some folders as a table and a figure."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from oponm.errors import InputError
from oponm.report import collect_runs, group_runs, markdown_table, recall_figure, terminal_table


def run(arguments: list[str]) -> None:
    """Collect the runs below ``arguments``, print their table, and write ``report.md`` and ``report.png``.

    The files go to the first folder.
    """
    if {"-h", "--help"} & set(arguments):
        print("oponm report DIR...   reads the runs below the folders, writes report.md and report.png to the first")
        return
    if not arguments or arguments[0].startswith("-"):
        raise InputError("report needs a folder of runs: oponm report DIR...")
    folders = [Path(argument) for argument in arguments]
    runs, problems = collect_runs(folders)
    groups = group_runs(runs)
    console = Console(
        width=max(Console().width, 100), markup=False
    )  # the table's own width; a narrower terminal wraps it
    console.print(terminal_table(groups))
    console.print("percent, mean ± standard error over seeds; seconds a run", highlight=False)
    text = markdown_table(groups)
    where = os.path.relpath(folders[0])
    files = [f"{where}/report.md"]
    try:
        recall_figure(groups, folders[0] / "report.png")
        text += "\n![accuracy by class](report.png)\n"
        files.append(f"{where}/report.png")
    except InputError as error:
        problems.append(str(error))
    for problem in problems:
        console.print(problem, highlight=False, soft_wrap=True)
    (folders[0] / "report.md").write_text(text + "".join(f"\n- {problem}\n" for problem in problems), encoding="utf-8")
    console.print(f"files: {', '.join(files)}", highlight=False, soft_wrap=True)
