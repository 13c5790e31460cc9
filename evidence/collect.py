"""A table of runs, a line each, from a sweep's folder: ``python -m evidence.collect FOLDER... results/NAME.csv``."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from evidence.methods import method_of
from oponm.cli.errors import one_line_errors
from oponm.errors import InputError
from oponm.report import collect_runs
from oponm.run_files import write_whole

METRICS = ("accuracy", "balanced_accuracy", "many", "medium", "few", "macro_f1", "ece")
LIST_COLUMNS = ("recall", "class_counts", "class_names")  # as JSON
SETTINGS = {
    "augmentation": "augmentation",
    "imbalance_ratio": "data.imbalance_ratio",
    "epochs": "trainer.max_epochs",
    "precision": "trainer.precision",
}


def line_of(run: dict[str, Any]) -> dict[str, Any]:
    """What the document needs of a run.

    Args:
        run: as of :func:`oponm.report.collect_runs`.

    Returns:
        A line of the table: the method (its name in the study), its condition, seed, metrics as fractions in [0, 1],
        seconds of training that the run did itself and that it took over, and where it came from.
    """
    choices, settings = run["choices"], run["settings"]
    condition = {name: choices.get(name, settings.get(key)) for name, key in SETTINGS.items()}
    if condition["imbalance_ratio"] is None:  # a set with a tail of its own
        condition["imbalance_ratio"] = round(max(run["class_counts"]) / min(run["class_counts"]))
    reused = (run.get("reused") or {}).get("seconds", 0.0)
    return {
        "method": method_of(run),
        "data": choices["data"],
        "model": choices["model"],
        **condition,
        "seed": run["seed"],
        **{name: run["metrics"].get(name) for name in METRICS},
        **{name: json.dumps(run[name]) for name in LIST_COLUMNS},
        "train_seconds": run["train_seconds"],
        "reused_seconds": round(reused, 3),
        "content_digest": run["content_digest"][:16],
        "git_commit": _short(run["git_commit"]),
        "torch": run["versions"]["torch"],
    }


def _short(commit: str | None) -> str:
    """The first digits of a commit, and whether the checkout was another; nothing outside of one."""
    digits, dirty, _ = (commit or "").partition("-dirty")
    return digits[:12] + dirty


def collect(folders: list[Path], table: Path, add: bool = False) -> list[str]:
    """Write the table of all finished runs below some folders, by condition, method and seed.

    Args:
        folders: of runs, or above several.
        table: the file; one that is there is replaced.
        add: keep the lines of the table that is there, but for runs of the same condition, method and seed.

    Returns:
        A line for each run that is left out.

    Raises:
        InputError: where there is no finished run.
    """
    runs, problems = collect_runs(folders)
    problems += [f"{run['folder']}: left out (not of the study)" for run in runs if not method_of(run)]
    lines = [line_of(run) for run in runs if method_of(run)]
    if not lines:
        raise InputError(f"no run of the study below {', '.join(map(str, folders))}")
    if add and table.is_file():
        with table.open(encoding="utf-8", newline="") as earlier:
            new = {_identity(line) for line in lines}
            lines += [line for line in csv.DictReader(earlier) if _identity(line) not in new]
    lines.sort(key=lambda line: [str(line[name]) for name in SETTINGS] + [line["method"], int(line["seed"])])
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_whole(table, text.getvalue())
    return problems


def _identity(line: dict[str, Any]) -> tuple[str, ...]:
    """The condition, method and seed of a line."""
    return tuple(str(line[name]) for name in ("data", "model", *SETTINGS, "method", "seed"))


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="of a sweep")
    parser.add_argument("table", type=Path, metavar="TABLE", help="the file to write, results/NAME.csv")
    parser.add_argument("--add", action="store_true", help="keep the table's lines of other runs")
    chosen = parser.parse_args(arguments)
    with one_line_errors():
        problems = collect(chosen.folders, chosen.table, chosen.add)
    for problem in problems:
        print(problem, file=sys.stderr)


if __name__ == "__main__":
    main()
