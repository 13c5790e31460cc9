"""The study in full on a GPU: ``python -m evidence.gpu OUT --data data/cifar10_lt_ir100 data/cifar10_lt_ir50``.

Runs ``sweep=study_wrn`` on one packed data set after the other (see :mod:`evidence.pack`) until the time is up, and
writes what is finished to ``OUT/wrn.csv``. The same command resumes it. ``--tiny`` tries all of it on a CPU.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from evidence.collect import collect
from oponm.cli.errors import one_line_errors

TINY = ("model.depth=10", "model.width=1", "trainer.max_epochs=2", "trainer.num_threads=1", "trainer.precision=32-true")
GRACE = 60  # seconds for the step under way and a checkpoint


def command_of(data: Path, out: Path, overrides: list[str]) -> list[str]:
    """The sweep on a data set.

    Args:
        data: a packed data set.
        out: where the runs of all data sets go.
        overrides: more of them.
    """
    sweep = ["train", "-m", "sweep=study_wrn", f"data.root={data}", f"output_dir={out / data.name}", "resume=auto"]
    return [sys.executable, "-m", "oponm", *sweep, f"phase_cache={out / 'phases'}", *overrides]


def run_until(deadline: float, command: list[str]) -> int | None:
    """Run a command, and ask it to end when the time is up.

    Args:
        deadline: of :func:`time.monotonic`.
        command: what to run.

    Returns:
        Its exit code; None if it was ended.
    """
    process = subprocess.Popen(command)
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


def main(arguments: list[str] | None = None) -> None:
    """Run the script.

    Args:
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="for runs, shared phases and wrn.csv")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="packed data sets, first things first")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which to end")
    parser.add_argument("--tiny", action="store_true", help="a small network for two epochs: a trial on the CPU")
    parser.add_argument("--override", nargs="*", default=[], help="of the sweep, e.g. seed=0,1,2,3,4")
    chosen = parser.parse_args(arguments)
    deadline = time.monotonic() + chosen.seconds
    overrides = [*(TINY if chosen.tiny else ()), *chosen.override]
    chosen.out.mkdir(parents=True, exist_ok=True)
    codes = []
    for data in chosen.data:
        codes.append(run_until(deadline, command_of(data, chosen.out, overrides)))
        if codes[-1] is None:
            break
    with one_line_errors():
        problems = collect([chosen.out], chosen.out / "wrn.csv")
    for problem in problems:
        print(problem, file=sys.stderr)
    raise SystemExit(next((code for code in codes if code), 0))


if __name__ == "__main__":
    main()
