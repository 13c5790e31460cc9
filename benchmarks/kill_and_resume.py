"""Kill a run at random moments, resume it each time, and compare it to the bit with one that was never killed.

Every other kill waits for a checkpoint that is being written, and one falls on the border of the phases.
"""

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
from typing import Any, NamedTuple

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


def differences(one: Path, other: Path) -> list[str]:
    """In what two runs ended otherwise, to the bit: names of weights, metrics.csv, keys of result.json."""
    (weights, metrics, result), (weights2, metrics2, result2) = outcome(one), outcome(other)
    tensors = [
        name
        for name in {**weights, **weights2}
        if not (name in weights and name in weights2 and torch.equal(weights[name], weights2[name]))
    ]
    keys = [key for key in {**result, **result2} if result.get(key) != result2.get(key)]
    return [*tensors, *(["metrics.csv"] if metrics != metrics2 else []), *keys]


class Kill(NamedTuple):
    """Where a run was killed.

    Attributes:
        step: of the checkpoint that it went on from.
        writing: half a checkpoint was beside it.
        border: it was at the border of the phases.
    """

    step: int
    writing: bool
    border: bool


def killed_run(folder: Path, epochs: int, kills: int, steps: int, seed: int) -> list[Kill]:
    """Run, kill as often as asked, resume until done.

    Args:
        folder: for the run.
        epochs: of it.
        kills: times to kill it.
        steps: of the whole run, over which the kills are spread.
        seed: of the moments.

    Returns:
        Where it was killed.
    """
    chance = random.Random(seed)
    found: list[Kill] = []
    checkpoint, border = folder / "checkpoints/last.ckpt", epochs * 4 // 5
    part = checkpoint.with_name(".last.ckpt.part")
    for number, target in enumerate(sorted(chance.choices(range(1, steps - 5), k=kills))):
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        part.unlink(missing_ok=True)  # a later write does this too; here it tells of this kill alone
        run = start(folder, epochs)
        while run.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != written):
            time.sleep(0.001)
        crossed, at_border = any(kill.border for kill in found), False
        while run.poll() is None and not at_border:
            epoch, batch, step = progress(checkpoint)
            at_border = not crossed and (epoch, batch) == (border, 0)
            if step >= target:
                break
        if not at_border:
            time.sleep(chance.uniform(0, 0.05))
        while number % 2 and not at_border and run.poll() is None and not part.exists():
            pass
        run.kill()
        run.wait()
        if (folder / "result.json").exists():
            raise SystemExit("done before the kills were: take another --seed")
        epoch, batch, step = progress(checkpoint)
        found.append(Kill(step, part.exists(), (epoch, batch) == (border, 0)))
    if (code := start(folder, epochs).wait()) != 0:
        raise SystemExit(f"the last resumption ended with code {code}")
    return found


def start(folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    """Begin the run, or go on with it."""
    silent = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command(folder, epochs, "resume=auto"), **silent)


def progress(checkpoint: Path) -> tuple[int, int, int]:
    """Epoch, steps of it that are done, and steps in all, as a checkpoint has them."""
    state = torch.load(checkpoint, weights_only=True)["training"]
    return state["epoch"], state["batch"], state["step"]


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
        steps = progress(whole / "checkpoints/last.ckpt")[2]
        found = killed_run(killed, options.epochs, options.kills, steps, options.seed)
        print(f"killed {options.kills} times in {steps} steps, at steps {', '.join(str(kill.step) for kill in found)}")
        print(f"of these {sum(kill.writing for kill in found)} while a checkpoint was being written, ", end="")
        print(f"{sum(kill.border for kill in found)} at the border of the phases")
        if different := differences(whole, killed):
            raise SystemExit(f"the run that was killed ended otherwise: {', '.join(different)}")
        print("weights, metrics.csv and result.json are those of the run that was not, to the bit")


if __name__ == "__main__":
    main()
