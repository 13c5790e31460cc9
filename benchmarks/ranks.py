"""Two processes against one on the same global batch: images a second, with and without synchronized batch norm."""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.harness import Timing, show
from benchmarks.pixels import RandomPixels
from oponm.data.image_data import EpochInput
from oponm.models import resnet20
from oponm.nn import convert_batchnorm
from oponm.training import LongTailModule, make_trainer
from oponm.training.distributed import join, leave, rank
from oponm.training.quiet import quiet_libraries

BATCH, STEPS, EPOCHS, ROUNDS, WARMUP = 128, 30, 2, 3, 5
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=2e-4, fused=True)


@dataclass(frozen=True)
class Setting:
    """Who trains.

    Attributes:
        processes: gloo's, where there are several.
        threads: of each.
        sync_batchnorm: statistics over the rows of all processes.
    """

    processes: int
    threads: int
    sync_batchnorm: bool = False


SETTINGS = {
    "1 process of 1 thread": Setting(1, 1),
    "1 process of 2 threads": Setting(1, 2),
    "2 processes of 1 thread": Setting(2, 1),
    "2 processes of 1 thread, sync_batchnorm": Setting(2, 1, True),
}


class StepTimes(pl.Callback):
    """Seconds from the end of a step to that of the next one in the same epoch; the first ones are left out.

    Args:
        warmup: steps of the run that are not timed.
    """

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.seconds: list[float] = []
        self.ended: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        """What lies between two epochs is no step."""
        self.ended = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop the clock."""
        now = time.perf_counter()
        if self.ended is not None and trainer.global_step > self.warmup:
            self.seconds.append(now - self.ended)
        self.ended = now


def work(this: int, setting: Setting, port: int, steps: int, batch_size: int, epochs: int, file: str) -> None:
    """Be one of the processes that train OPeN with ResNet-20; the first one writes its seconds to a file."""
    place = {"RANK": this, "LOCAL_RANK": this, "WORLD_SIZE": setting.processes, "LOCAL_WORLD_SIZE": setting.processes}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(setting.threads)
    quiet_libraries()
    if setting.processes > 1:
        join()
    data = RandomPixels([max(2, steps * batch_size // 10)] * 10, batch_size=batch_size)
    data.setup()
    data.epoch_input = lambda epoch: EpochInput("class_balanced", True, False, 1.0)
    torch.manual_seed(0)
    module = LongTailModule(convert_batchnorm(resnet20(10)), class_counts=data.class_counts, optimizer=SGD)
    times = StepTimes(min(WARMUP, epochs * steps // 2))
    trainer = make_trainer(
        sync_batchnorm=setting.sync_batchnorm, accelerator="cpu", max_epochs=epochs, limit_val_batches=0
    )
    trainer.callbacks.append(times)  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data)
    if rank() == 0:
        Path(file).write_text(json.dumps(times.seconds))
    leave()


def measure(setting: Setting, steps: int, batch_size: int, epochs: int) -> list[float]:
    """Seconds of each step, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        arguments = (setting, port, steps, batch_size, epochs, f"{folder}/seconds.json")
        torch.multiprocessing.spawn(work, arguments, nprocs=setting.processes)  # type: ignore[no-untyped-call]
        return list(json.loads(Path(folder, "seconds.json").read_text()))


def main(steps: int = STEPS, batch_size: int = BATCH, epochs: int = EPOCHS, rounds: int = ROUNDS) -> None:
    """Print the table.

    Args:
        steps: of an epoch.
        batch_size: images a step, of all processes together.
        epochs: of each run.
        rounds: runs of each setting, in turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, setting in SETTINGS.items():
            seconds[name] += measure(setting, steps, batch_size, epochs)
    timings = {name: Timing(tuple(values)) for name, values in seconds.items()}
    alone = timings["1 process of 1 thread"]
    rows = []
    for name, timing in timings.items():
        cores = SETTINGS[name].processes * SETTINGS[name].threads
        speed = alone.median / timing.median
        rows.append(
            [
                *(name, f"{1e3 * timing.median:.0f}", f"{batch_size / timing.median:.0f}"),
                *(f"{speed:.2f}", f"{speed / cores:.0%}"),
            ]
        )
    show(
        "Two processes against one",
        f"OPeN with ResNet-20 on random images of 32x32, {batch_size} a step of all processes together, float32, CPU, "
        f"gloo: a step from the end of one to that of the next, medians of {rounds} runs of {epochs} epochs of {steps} "
        f"steps, without start-up. Load of the machine at the end {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.",
        ["", "a step, ms", "images a second", "times one thread", "efficiency"],
        rows,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    main(steps=options.steps, rounds=options.rounds)
