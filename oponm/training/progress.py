"""A progress bar over the steps of a run."""

from __future__ import annotations

import os
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from oponm.noise import Batch
from oponm.training.phases import PhasePlan

RATE_EVERY = 1.0  # seconds over which images are counted


class TrainingProgress(pl.Callback):
    """Shows phase, epoch, loss, accuracy, noise share, images per second and time left.

    On a terminal only, and not where ``CI`` is set. Loss, accuracy and noise share are those of the last whole epoch,
    so that nothing waits for the device.

    Args:
        plan: the phases of the run.
        console: where it is shown; None is standard error.
    """

    def __init__(self, plan: PhasePlan, console: Console | None = None) -> None:
        self.plan = plan
        console = console or Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            TextColumn("{task.fields[measured]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal or bool(os.environ.get("CI")),
        )

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show the bar."""
        self.bar.start()
        self.task = self.bar.add_task("", total=None, measured="", rate="")
        self.since, self.images = time.perf_counter(), 0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Name the phase and the epoch."""
        epoch, steps = trainer.current_epoch, int(trainer.num_training_batches)
        name = f"{self.plan.at(epoch).name} {epoch + 1}/{self.plan.max_epochs}"
        self.bar.update(
            self.task, description=name, completed=epoch * steps, total=self.plan.max_epochs * steps, refresh=True
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Advance by a step."""
        self.bar.advance(self.task)
        self.images += len(batch.targets) * trainer.world_size
        passed = time.perf_counter() - self.since
        if passed > RATE_EVERY:
            self.bar.update(self.task, rate=f"{self.images / passed:,.0f} images/s")
            self.since, self.images = time.perf_counter(), 0

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show what was measured up to the epoch before."""
        seen = trainer.callback_metrics
        if "train/loss" in seen:
            values = [f"loss {seen['train/loss']:.3f}"]
            values += [f"accuracy {seen['train/accuracy']:.1%}"] if "train/accuracy" in seen else []
            self.bar.update(self.task, measured=" ".join([*values, f"noise {seen['noise_share']:.0%}"]))

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Take the bar away, so that the error stands on a line of its own."""
        self.bar.stop()
