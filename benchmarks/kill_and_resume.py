"""Kill a run at random moments, resume it each time, and compare it to the bit with one that was never killed.

Of four kills one falls on start-up or resumption, one on a checkpoint that is being written, and two anywhere; one more
falls on the border of the phases. To catch a moment the run is stopped and let go by the millisecond until it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

TIMES = ("seconds", "train_seconds")
KINDS = ("start", "writing", "anywhere", "anywhere")
ATTEMPTS = 3
APPROACH = 15  # steps before the border of the phases, and before the end, that other kills leave alone


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
        step: of the checkpoint that it resumed from; 0 before the first.
        writing: half a checkpoint was beside it.
        border: it was at the border of the phases.
        starting: it had not come to a checkpoint since it was begun or resumed.
    """

    step: int
    writing: bool
    border: bool
    starting: bool


class DoneTooSoon(Exception):
    """The run came to its end, or past the border of the phases, before it was killed there."""


def killed_run(folder: Path, epochs: int, kills: int, steps: int, seed: int, pace: float) -> list[Kill]:
    """Run, kill as often as asked, resume until done.

    Args:
        folder: for the run.
        epochs: of it.
        kills: times to kill it, at least one.
        steps: of the whole run, over which the kills are spread, a quarter of them in the second phase.
        seed: of the moments.
        pace: seconds that a run takes to its first checkpoint, over which kills during start-up are spread.

    Returns:
        Where it was killed.

    Raises:
        DoneTooSoon: if a kill came too late.
    """
    chance = random.Random(seed)
    border = epochs * 4 // 5
    at_border = steps * border // epochs
    later = (kills - 1) // 4  # in the second phase
    targets = chance.choices(range(1, at_border - APPROACH), k=kills - 1 - later)
    targets += chance.choices(range(at_border + 1, steps - APPROACH), k=later)
    kinds = [(target, KINDS[number % len(KINDS)]) for number, target in enumerate(targets)]
    found: list[Kill] = []
    for target, kind in sorted([*kinds, (at_border, "border")]):
        found.append(killed_once(folder, epochs, target, kind, chance, pace))
        if (folder / "result.json").exists():
            raise DoneTooSoon("the run was done before the kills were")
    if (code := start(folder, epochs).wait()) != 0:
        raise SystemExit(f"the last resumption ended with code {code}")
    return found


def killed_once(folder: Path, epochs: int, target: int, kind: str, chance: random.Random, pace: float) -> Kill:
    """Begin the run or resume it, and kill it.

    Args:
        folder: of the run.
        epochs: of it.
        target: the step after which it is killed, or which it has at the border; of no meaning for one at its start.
        kind: ``"start"``, ``"writing"``, ``"border"`` or ``"anywhere"``.
        chance: gives the moment.
        pace: see :func:`killed_run`.
    """
    checkpoint, border = folder / "checkpoints/last.ckpt", epochs * 4 // 5
    part = checkpoint.with_name(".last.ckpt.part")
    part.unlink(missing_ok=True)  # a later write does this too; here it shows this kill alone
    written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    def fresh() -> bool:
        return checkpoint.exists() and checkpoint.stat().st_mtime_ns != written

    run = start(folder, epochs)
    if kind == "start":
        time.sleep(chance.uniform(0, pace))
    else:
        wait_until(run, fresh)
        wait_until(run, lambda: progress(checkpoint)[2] >= target - (APPROACH if kind == "border" else 0))
        if kind == "border":
            step_until(run, lambda: progress(checkpoint)[0] >= border)
            if progress(checkpoint)[:2] != (border, 0):
                raise DoneTooSoon("the border of the phases was missed")
        elif kind == "writing":
            step_until(run, part.exists)
        else:
            time.sleep(chance.uniform(0, 0.05))
    if run.poll():
        raise SystemExit(f"the run ended with code {run.returncode} before it was killed")
    run.kill()
    run.wait()
    epoch, batch, step = progress(checkpoint)
    return Kill(step, part.exists(), (epoch, batch) == (border, 0), not fresh())


def wait_until(run: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    """Look every millisecond whether a run has come to a point; it may also end."""
    while run.poll() is None and not there():
        time.sleep(0.001)


def step_until(run: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    """Let a run continue for a millisecond at a time, stopped whenever it is looked at; it is left stopped."""
    while run.poll() is None:
        run.send_signal(signal.SIGSTOP)
        if there():
            return
        run.send_signal(signal.SIGCONT)
        time.sleep(0.001)


def start(folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    """Begin the run, or resume it."""
    silent = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command(folder, epochs, "resume=auto"), **silent)


def progress(checkpoint: Path) -> tuple[int, int, int]:
    """Epoch, steps of it that are done, and steps in all, as a checkpoint has them; nothing before the first."""
    if not checkpoint.exists():
        return 0, 0, 0
    state = torch.load(checkpoint, weights_only=True)
    done = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["processed"]
    return state["epoch"], done, state["global_step"]


def seconds_to_first_checkpoint(folder: Path, epochs: int) -> float:
    """How long a run takes to come to its first checkpoint; it is left unfinished."""
    started = time.perf_counter()
    run = start(folder, epochs)
    wait_until(run, (folder / "checkpoints/last.ckpt").exists)
    run.kill()
    run.wait()
    return time.perf_counter() - started


def complete(found: list[Kill]) -> bool:
    """Whether some kill fell into the writing of a checkpoint, one on the border of the phases, and one on a start."""
    return all(any(getattr(kill, kind) for kill in found) for kind in ("writing", "border", "starting"))


def main() -> None:
    """Print the steps at which it was killed, and whether all came out the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch, "whole")
        subprocess.run(command(whole, options.epochs), check=True, stdout=subprocess.DEVNULL)
        steps = progress(whole / "checkpoints/last.ckpt")[2]
        pace = seconds_to_first_checkpoint(Path(scratch, "pace"), options.epochs)
        for attempt in range(ATTEMPTS):
            killed, seed = Path(scratch, f"killed{attempt}"), options.seed + attempt
            try:
                found = killed_run(killed, options.epochs, options.kills, steps, seed, pace)
            except DoneTooSoon as late:
                print(f"with --seed {seed} {late}: once more with another", flush=True)
                continue
            report(found, steps)
            if different := differences(whole, killed):
                raise SystemExit(f"the run that was killed ended otherwise: {', '.join(different)}")
            print("weights, metrics.csv and result.json are those of the run that was not, to the bit", flush=True)
            if complete(found):
                return
        raise SystemExit("not every kind of kill took place: take more --kills, or another --seed")


def report(found: list[Kill], steps: int) -> None:
    """Say where a run was killed."""
    print(f"killed {len(found)} times in {steps} steps, at steps {', '.join(str(kill.step) for kill in found)}")
    print(f"of these {sum(kill.starting for kill in found)} before a checkpoint since start or resumption, ", end="")
    print(f"{sum(kill.writing for kill in found)} while a checkpoint was being written, ", end="")
    print(f"{sum(kill.border for kill in found)} at the border of the phases")


if __name__ == "__main__":
    main()
