"""What a step of ``oponm``'s training takes beyond forward, backward and optimizer of the bare model, and where."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional

from benchmarks.harness import Timing, mark, show
from benchmarks.pixels import RandomPixels
from oponm.data.pipeline import ResidentImages
from oponm.models import resnet32
from oponm.noise import Batch
from oponm.training import LongTailModule, make_trainer
from oponm.training.callbacks import Checkpoints, NonFinite
from oponm.training.quiet import quiet_libraries

SHAPES = {"digits, 1x8x8": (1, 8, 8), "CIFAR, 3x32x32": (3, 32, 32)}
BATCH, EPOCH_STEPS = 128, 97  # CIFAR-10-LT's
PARTS = ("reading the batch", "scaling and normalizing it", "metrics")
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=2e-4, fused=True)


class AfterEachStep(pl.Callback):
    """Times each step of the trainer, and after it one of a bare model on the same batch.

    Args:
        step: trains a bare model on a batch.
        warmup: steps that are not timed.
    """

    def __init__(self, step: Callable[[Batch], None], warmup: int = 3) -> None:
        self.step, self.warmup = step, warmup
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.began = time.thread_time()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop one clock, run the other."""
        ended = time.thread_time()
        self.step(batch)
        if trainer.global_step > self.warmup:
            self.ours.append(ended - self.began)
            self.bare.append(time.thread_time() - ended)
        self.began = time.thread_time()


class Parts:
    """Adds up the seconds spent in functions, by the name of the part that each belongs to."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a clock."""

        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.thread_time() - started

        return run


def measure(shape: tuple[int, int, int], steps: int, batch_size: int) -> tuple[Timing, Timing, dict[str, float]]:
    """Steps of the trainer, steps of the bare model, and the mean seconds of each part of the former."""
    data = RandomPixels([max(2, steps * batch_size // 10)] * 10, shape, batch_size=batch_size)
    data.setup()
    module = LongTailModule(resnet32(10, shape[0]), class_counts=data.class_counts, optimizer=SGD)
    model = resnet32(10, shape[0])
    optimizer = SGD(model.parameters())

    def step(batch: Batch) -> None:
        loss = functional.cross_entropy(model(batch.images), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    parts, after = Parts(), AfterEachStep(step)
    reading, making, metrics = PARTS
    data.make_batch = parts.timed(making, data.make_batch)  # type: ignore[method-assign]
    module._count = parts.timed(metrics, module._count)  # type: ignore[method-assign]
    assert isinstance(data.train_set, ResidentImages)
    data.train_set.__getitems__ = parts.timed(reading, data.train_set.__getitems__)  # type: ignore[method-assign]
    trainer = make_trainer(accelerator="cpu", max_epochs=1, limit_val_batches=0)
    # What a run has beside the model: its checkpoints, at their usual times, and the history of what is logged.
    checkpoints = Checkpoints(Path(trainer.default_root_dir), NonFinite())
    trainer.callbacks += [checkpoints, after]  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data)
    taken = {part: seconds / trainer.global_step for part, seconds in parts.seconds.items()}
    return Timing(tuple(after.ours)), Timing(tuple(after.bare)), taken


def main(steps: int = EPOCH_STEPS, batch_size: int = BATCH) -> None:
    """Print the table.

    Args:
        steps: of each network.
        batch_size: images a step.
    """
    torch.set_num_threads(1)
    quiet_libraries()
    rows = []
    for name, shape in SHAPES.items():
        ours, bare, parts = measure(shape, steps, batch_size)
        beyond = ours.median - bare.median
        low, high = ours.ratio_quartiles(bare)
        rows.append(
            [
                *(name, f"{1e3 * bare.median:.1f}", f"{1e3 * ours.median:.1f}"),
                f"{beyond / bare.median:.1%} ({low - 1:.1%} to {high - 1:.1%}) {mark(beyond <= 0.05 * bare.median)}",
                *(f"{1e3 * parts[part]:.2f}" for part in PARTS),
                f"{1e3 * (beyond - sum(parts.values())):.2f}",
            ]
        )
    show(
        "What the framework adds to a step",
        f"ResNet-32, {batch_size} images from memory, no augmentation, float32, one thread and its milliseconds: a "
        f"step of the trainer, from the end of one to the end of the next, and after each a step of a bare model on "
        f"the same batch; {steps} of both, medians, with quartiles of the ratio. Target: 5 % beyond the bare model's "
        "at most; the limit is 0. The last four columns say where it goes.",
        [
            *("images", "bare model, ms", "oponm, ms", "beyond"),
            *PARTS,
            "Lightning's loop and hooks, derived generators",
        ],
        rows,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EPOCH_STEPS)
