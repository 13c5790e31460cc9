"""From ``oponm train`` to its first training step: how long, what it is made of, and what the imports bring in."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.first_step import STAGES
from benchmarks.harness import show

ROUNDS, PACKAGES, ROOT = 5, 12, Path(__file__).parents[1]
IMPORT = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| +(\S+)")


def measured_in_fresh_process(arguments: list[str], folder: Path) -> dict[str, float]:
    """The stages of one command."""
    command = [sys.executable, "-m", "benchmarks.first_step", str(time.time()), *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def import_times(folder: Path) -> Counter[str]:
    """Seconds that the modules of each package take to import, as Python counts them, for training on digits."""
    program = "import sys; from oponm.cli.main import LeanTorchmetrics; sys.meta_path.insert(0, LeanTorchmetrics()); "
    program += "import oponm.cli.train, oponm.training.run, oponm.data.sources.digits"
    command = [sys.executable, "-X", "importtime", "-c", program]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
    seconds: Counter[str] = Counter()
    for own, _, module in IMPORT.findall(done.stderr):
        seconds[module.partition(".")[0]] += int(own) / 1e6
    return seconds


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OPONM_CACHE": "cache"}


def main(rounds: int = ROUNDS) -> None:
    """Print the tables.

    Args:
        rounds: processes measured of each kind, after one of each that warms the disk's cache.
    """
    taken: list[dict[str, float]] = []
    imported: list[Counter[str]] = []
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            stages_of = measured_in_fresh_process(["phase_cache=off"], Path(folder))
            packages_of = import_times(Path(folder))
        if number:
            taken.append(stages_of)
            imported.append(packages_of)
    rows = []
    for name in (*STAGES, "all"):
        values = [sum(one.values()) if name == "all" else one[name] for one in taken]
        rows.append([name, f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"])
    show(
        "From the command to the first training step",
        f"`oponm train`, OPeN on the embedded digits, {rounds} fresh processes, files in the disk's cache; seconds of "
        "the wall. The limit is what Python, torch and Lightning take to be imported.",
        ["stage", "median, s", "range, s"],
        rows,
    )
    medians = {name: statistics.median(one[name] for one in imported) for name in set().union(*imported)}
    largest = sorted(medians, key=lambda name: -medians[name])[:PACKAGES]
    show(
        "What is imported",
        f"`python -X importtime`, which itself takes time, by package, without what it imports in turn; medians of "
        f"{rounds} fresh processes, the {PACKAGES} largest. Lightning imports torch's compiler, and that sympy.",
        ["package", "s"],
        [[name, f"{medians[name]:.2f}"] for name in largest],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
