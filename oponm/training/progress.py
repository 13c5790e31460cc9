"""A progress bar over the steps of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from oponm.data.progress import shows_bars
from oponm.noise import Batch
from oponm.training.module import LongTailModule
from oponm.training.phases import PhasePlan

LOOK_EVERY = 1.0  # seconds over which images are counted, and between two looks at what was measured


class TrainingProgress(pl.Callback):
    """Shows phase, epoch, loss, accuracy, noise share, images per second and time left.

    On a terminal only, and not where ``CI`` is set. Loss, accuracy and noise share are those of the epoch up to now.
    They add up on the device, which is asked for them every :data:`LOOK_EVERY` seconds and at the end of an epoch, and
    not at each step; of several processes the first asks its own, and shows those of all when training is over.

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
            disable=not shows_bars(console),
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

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, module: LongTailModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Advance by a step."""
        self.bar.advance(self.task)
        self.images += len(batch.targets) * trainer.world_size
        passed = time.perf_counter() - self.since
        if passed > LOOK_EVERY and not self.bar.disable:
            self._show(module.so_far(), rate=f"{self.images / passed:,.0f} images/s")
            self.since, self.images = time.perf_counter(), 0

    def on_train_epoch_end(self, trainer: pl.Trainer, module: LongTailModule) -> None:  # type: ignore[override]
        """Show what the whole epoch measured."""
        if not self.bar.disable:
            self._show(module.so_far())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show what the last epoch measured over all processes, and take the bar away."""
        logged = {name.removeprefix("train/"): float(value) for name, value in trainer.callback_metrics.items()}
        self._show({name: logged[name] for name in ("loss", "accuracy", "noise_share") if name in logged})
        self.bar.stop()

    def _show(self, measured: Mapping[str, float], **fields: Any) -> None:
        """Replace what is shown; nothing measured leaves what was."""
        formats = {"loss": "loss {:.3f}", "accuracy": "accuracy {:.1%}", "noise_share": "noise {:.0%}"}
        if shown := [form.format(measured[name]) for name, form in formats.items() if name in measured]:
            fields["measured"] = " ".join(shown)
        self.bar.update(self.task, refresh=True, **fields)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Take the bar away, so that the error stands on a line of its own."""
        self.bar.stop()
