"""An epoch of OPeN on CIFAR-10-LT: oponm's own training against a plain loop with workers and a gathering DAR-BN."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional

from benchmarks.gathered import gather_in, mask, plain_loader
from benchmarks.harness import mark, show
from benchmarks.pixels import RandomPixels
from benchmarks.workload import CLASS_COUNTS, MEAN, STD
from oponm.data.augmentation import simclr
from oponm.data.image_data import EpochInput
from oponm.models import resnet32
from oponm.nn import convert_batchnorm
from oponm.noise import GaussianNoise, ReplaceWithNoise
from oponm.training import LongTailModule, make_trainer
from oponm.training.quiet import quiet_libraries

BATCH, WORKERS, STEPS, WARMUP, ROUNDS = 128, 2, 12, 4, 3
SGD = partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=2e-4)
SETTINGS: dict[str, dict[str, Any]] = {
    "oponm, float32": {},
    "oponm, float32, split_noise": {"split_noise": True},
    "oponm, bf16, channels_last": {"channels_last": True, "precision": "bf16-mixed"},
}


class StepTimes(pl.Callback):
    """Notes when each training step has ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """After the optimizer's step and all that belongs to it."""
        self.ends.append(time.perf_counter())


def seconds_a_step(ends: list[float], warmup: int) -> float:
    """Mean time between the ends of steps after the first few.

    Example:
        >>> seconds_a_step([0.0, 9.0, 10.0, 12.0], warmup=2)
        1.5
    """
    return (ends[-1] - ends[warmup - 1]) / (len(ends) - warmup)


def ours(data: RandomPixels, steps: int, warmup: int, precision: str = "32-true", **execution: Any) -> float:
    """Seconds of a step of ``oponm``'s module on its own data module, by its own trainer."""
    torch.manual_seed(0)
    model = convert_batchnorm(resnet32(len(data.class_names)))
    module = LongTailModule(model, class_counts=data.class_counts, optimizer=partial(SGD, fused=True), **execution)
    trainer = make_trainer(
        accelerator="cpu", precision=precision, max_epochs=1, limit_train_batches=steps, limit_val_batches=0
    )
    times = StepTimes()
    trainer.callbacks.append(times)  # type: ignore[attr-defined]
    data.epoch_input = lambda epoch: EpochInput("class_balanced", noise=True)
    trainer.fit(module, datamodule=data)
    return seconds_a_step(times.ends, warmup)


def plain(data: RandomPixels, steps: int, warmup: int) -> float:
    """Seconds of a step as a script has it: augmentation by samples in workers, rows gathered in each batch norm."""
    torch.manual_seed(0)
    model = gather_in(resnet32(len(data.class_names)))
    optimizer = SGD(model.parameters())
    noise = ReplaceWithNoise(data.class_counts, 1 / 3, GaussianNoise(MEAN, STD))
    mean, std = (torch.tensor(table).view(3, 1, 1) for table in (MEAN, STD))
    generator = torch.Generator().manual_seed(0)
    loader = plain_loader(data.train_set.images, data.train_set.targets, data.batch_size, WORKERS)
    ends: list[float] = []
    for images, targets in loader:
        batch = noise(images, targets, generator)
        with mask(batch.is_noise):
            loss = functional.cross_entropy(model((batch.images - mean) / std), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
        if len(ends) == steps:
            break
    return seconds_a_step(ends, warmup)


def main(
    steps: int = STEPS + WARMUP, warmup: int = WARMUP, rounds: int = ROUNDS, batch_size: int = BATCH, images: int = 0
) -> None:
    """Print the table.

    Args:
        steps: of each candidate in each round.
        warmup: of these, the first ones, which are not timed.
        rounds: in which the candidates take turns.
        batch_size: images a step.
        images: of each class, for a trial of the script; 0 for CIFAR-10-LT's numbers.
    """
    counts = [images] * 10 if images else CLASS_COUNTS
    quiet_libraries()
    data = RandomPixels(counts, batch_size=batch_size, augmentation=simclr)
    data.setup()
    candidates: dict[str, Callable[[], float]] = {"plain loop": lambda: plain(data, steps, warmup)}
    candidates |= {name: partial(ours, data, steps, warmup, **options) for name, options in SETTINGS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        turn = number % len(candidates)
        for name in [*list(candidates)[turn:], *list(candidates)[:turn]]:
            seconds[name].append(candidates[name]())
    epoch_steps, baseline = len(data.train_dataloader()), statistics.median(seconds["plain loop"])
    rows = []
    for name, values in seconds.items():
        median, ratio = statistics.median(values), baseline / statistics.median(values)
        rows.append(
            [
                *(name, f"{1e3 * median:.0f}", f"{1e3 * min(values):.0f} to {1e3 * max(values):.0f}"),
                f"{epoch_steps * median:.1f}",
                "1" if name == "plain loop" else f"{ratio:.2f} {mark(ratio >= 3)}",
            ]
        )
    show(
        "An epoch of OPeN, CIFAR-10-LT",
        f"ResNet-32, {sum(counts):,} images of 32x32 with CIFAR-10-LT's labels and random pixels, batches of "
        f"{batch_size}, {torch.get_num_threads()} threads, the wall's time. Not whole epochs: {rounds} rounds of "
        f"{steps - warmup} steps each, after {warmup} that are not counted, and so without the start of the workers; "
        f"the epoch is {epoch_steps} times a step. The plain loop augments sample by sample with torchvision in "
        f"{WORKERS} workers and gathers rows by the mask in each batch norm. In `channels_last` noise rows have a pass "
        "of their own without `split_noise`. Target: 3 times as fast at least.",
        ["", "step, ms (median)", "ms (range)", "epoch, s", "times as fast"],
        rows,
    )


if __name__ == "__main__":
    main()
