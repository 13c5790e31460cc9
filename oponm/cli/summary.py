"""The end of a run on the terminal: a small table, and where its files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(result: dict[str, Any], folder: Path) -> None:
    """Print the metrics of a result in percent, and its folder."""
    choices = result["choices"]
    title = f"{choices['method']} on {choices['data']}, {choices['model']}, seed {result['seed']}"
    table = Table()
    for name in result["metrics"]:
        table.add_column(name.replace("_", " "), justify="right")
    if "train_seconds" in result:
        table.add_column("seconds", justify="right")
    values = [f"{100 * value:.1f}" for value in result["metrics"].values()]
    table.add_row(*values, *([f"{result['train_seconds']:.1f}"] if "train_seconds" in result else []))
    console = Console()
    console.print(title, table, sep="\n", highlight=False)
    console.print(f"files: {os.path.relpath(folder)}", soft_wrap=True, highlight=False)
    if result["skipped_files"]:
        console.print(f"{len(result['skipped_files'])} files were left out, listed in result.json", highlight=False)
