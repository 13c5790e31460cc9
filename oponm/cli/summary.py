"""Prints the end of a run on the terminal: a small table, and the folder of its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from oponm.longtail import SHOTS, THIRDS

SHOWN = ("accuracy", "balanced_accuracy", *SHOTS, *THIRDS)  # result.json has all metrics


def print_summary(result: dict[str, Any], folder: Path, one_line: bool = False) -> None:
    """Print the metrics of a result in percent, and its folder.

    Args:
        result: the content of ``result.json``.
        folder: the run's folder.
        one_line: print one line, for the runs of a sweep.
    """
    console = Console(markup=False)
    where = os.path.relpath(folder)
    shown = [name for name in SHOWN if name in result["metrics"]]
    values = {name.replace("_", " "): f"{100 * result['metrics'][name]:.1f}" for name in shown}
    if "train_seconds" in result:
        values["seconds"] = f"{result['train_seconds']:.1f}"
    reused = result.get("reused")
    untested = "" if result["metrics"] else "no test set, no test metrics"
    saved = f"{reused['epochs']} epochs reused, {reused['seconds']:.1f} s saved" if reused else ""
    if one_line:
        pairs = ", ".join(f"{name} {value}" for name, value in values.items())
        console.print(
            f"{where}: {pairs}{saved and ', '}{saved}{untested and ', '}{untested}", soft_wrap=True, highlight=False
        )
        return
    table = Table(*values)
    for column in table.columns:
        column.justify = "right"
    table.add_row(*values.values())
    choices = result["choices"]
    method = choices["method"] + (" (no batch norm)" if result.get("no_batch_norm") else "")
    console.print(f"{method} on {choices['data']}, {choices['model']}, seed {result['seed']}", highlight=False)
    console.print(table)
    if untested:
        console.print(untested, highlight=False)
    if saved:
        console.print(f"phase cache: {saved}", highlight=False)
    console.print(f"files: {where}", soft_wrap=True, highlight=False)
    if result["skipped_files"]:
        console.print(f"{len(result['skipped_files'])} files were left out, listed in result.json", highlight=False)
