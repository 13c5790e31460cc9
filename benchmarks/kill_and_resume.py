"""Kill a run at random moments, resume it each time, and compare it to the bit with one that was never killed."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

TIMES = ("seconds", "train_seconds")


def command(folder: Path, epochs: int, *more: str) -> list[str]:
    """The run in question: OPeN on digits-LT, a checkpoint at every step, so that kills also fall on their writing."""
    settings = [
        f"trainer.max_epochs={epochs}",
        "trainer.checkpoint_every_n_steps=1",
        "phase_cache=off",
        "data.val=split",
    ]
    return [sys.executable, "-m", "oponm", "train", "method=open", *settings, f"output_dir={folder}", *more]


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], str, dict[str, Any]]:
    """Weights, metrics.csv, and result.json without times and without how the run was begun."""
    weights = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    result = json.loads((folder / "result.json").read_text())
    timeless = {key: value for key, value in result.items() if key not in (*TIMES, "overrides")}
    return weights, (folder / "metrics.csv").read_text(), timeless


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended alike to the bit."""
    (weights, metrics, result), (weights2, metrics2, result2) = outcome(one), outcome(other)
    equal = weights.keys() == weights2.keys() and all(torch.equal(weights[name], weights2[name]) for name in weights)
    return equal and metrics == metrics2 and result == result2


def killed_run(folder: Path, epochs: int, kills: int, seed: int) -> list[int]:
    """Run, kill as often as asked, resume until done.

    Returns:
        The steps of the checkpoints that it went on from.
    """
    chance = random.Random(seed)
    steps: list[int] = []
    checkpoint = folder / "checkpoints/last.ckpt"
    for number in range(kills + 1):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        run = subprocess.Popen(
            command(folder, epochs, "resume=auto"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        if number == kills:
            if run.wait() != 0:
                raise SystemExit(f"the last resumption ended with code {run.returncode}")
            break
        while run.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != before):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.25))
        run.kill()
        run.wait()
        if (folder / "result.json").exists():
            raise SystemExit(f"done before the kills were: raise --epochs above {epochs}")
        steps.append(torch.load(checkpoint, weights_only=True)["training"]["step"])
    return steps


def main() -> None:
    """Print the steps at which it was killed, and whether all came out the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch, "whole"), Path(scratch, "killed")
        subprocess.run(command(whole, options.epochs), check=True, stdout=subprocess.DEVNULL)
        steps = killed_run(killed, options.epochs, options.kills, options.seed)
        print(f"killed {options.kills} times, at steps {', '.join(map(str, steps))}")
        if not same(whole, killed):
            raise SystemExit("the run that was killed ended otherwise")
        print("weights, metrics.csv and result.json are those of the run that was not, to the bit")


if __name__ == "__main__":
    main()
