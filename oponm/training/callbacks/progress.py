"""Progress of a run during training: a bar on a terminal, elsewhere a line per epoch."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from oponm.data.progress import shows_bars
from oponm.noise import Batch
from oponm.training.callbacks.checkpoint import MONITOR
from oponm.training.module import LongTailModule
from oponm.training.phases import PhasePlan

log = logging.getLogger(__name__)
LOOK_EVERY = 1.0  # seconds over which images are counted, and between two readings of the metrics
LINE_EVERY = 2.0  # seconds between two lines on standard error, at least


class TrainingProgress(pl.Callback):
    """Shows a bar with phase, epoch, loss, accuracy, fraction of noise rows, images per second and time left.

    The bar is shown on a terminal only, and not if the environment variable ``CI`` is set. Loss, accuracy and fraction
    of noise rows are those of the epoch so far. They accumulate on the device and are read every :data:`LOOK_EVERY`
    seconds and at the end of an epoch, not at each step. With several processes, rank 0 shows the metrics of its own
    rows, and after training those of all processes.

    Args:
        console: the console to show the bar on; None is standard error.
    """

    changes_nothing = True  # in the weights

    def __init__(self, console: Console | None = None) -> None:
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

    def on_train_start(self, trainer: pl.Trainer, module: LongTailModule) -> None:  # type: ignore[override]
        """Show the bar."""
        self.plan = module.plan
        self.bar.disable |= not trainer.is_global_zero
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
        """Show the metrics of the whole epoch."""
        if not self.bar.disable:
            self._show(module.so_far())

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show the metrics of the last epoch over all processes, and remove the bar."""
        logged = {name.removeprefix("train/"): float(value) for name, value in trainer.callback_metrics.items()}
        self._show({name: logged[name] for name in ("loss", "accuracy", "noise_share") if name in logged})
        self._stop()

    def _stop(self) -> None:
        """Remove the bar; some versions of rich print an empty line for one that is disabled."""
        if not self.bar.disable:
            self.bar.stop()

    def _show(self, measured: Mapping[str, float], **fields: Any) -> None:
        """Update the metrics that are shown; without new ones the old ones stay."""
        formats = {"loss": "loss {:.3f}", "accuracy": "accuracy {:.1%}", "noise_share": "noise {:.0%}"}
        if shown := [form.format(measured[name]) for name, form in formats.items() if name in measured]:
            fields["measured"] = " ".join(shown)
        self.bar.update(self.task, refresh=True, **fields)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Remove the bar, so that the error stands on a line of its own."""
        self._stop()


class EpochLines(pl.Callback):
    """Writes a line per epoch to the log, and also to standard error where no bar is shown.

    A line gives epoch, phase, loss, accuracy, balanced accuracy on the validation set, learning rate, fraction of noise
    rows, images per second, and time left. Standard error gets at most one line every
    :data:`LINE_EVERY` seconds, and none in a notebook.

    In a sweep each line on standard error starts with the name of the run's folder, as runs may train in parallel.

    Args:
        console: the console on which the bar would be shown; None is standard error.

    Example:
        >>> from oponm.training import Phase
        >>> plan = PhasePlan([Phase(4)], 4)
        >>> EpochLines.line(plan, 0, {"train/loss": 0.5, "lr": 0.1}, seconds=60, images=600)
        'epoch 1/4 instance loss 0.500 lr 0.1 10 images/s 0:03:00 left'
    """

    changes_nothing = True  # in the weights

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self.speaks = not (shows_bars(console) or console.is_jupyter)
        self.ended: int | None = None  # the last epoch that was trained, until its line is written

    def on_train_start(self, trainer: pl.Trainer, module: LongTailModule) -> None:  # type: ignore[override]
        """Start the clock."""
        folder = Path(trainer.default_root_dir)
        self.name = folder.name if (folder.parent / "multirun.yaml").is_file() else ""
        self.plan, self.writes = module.plan, trainer.is_global_zero
        self.said = self.since = time.perf_counter()
        self.images = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the images."""
        self.images += len(batch.targets) * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Record the epoch; its metrics are complete when the next one begins."""
        self.ended = trainer.current_epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the line of the previous epoch."""
        self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the line of the last epoch."""
        self._write(trainer, last=True)

    def _write(self, trainer: pl.Trainer, last: bool = False) -> None:
        if self.ended is None or not self.writes:
            return
        now = time.perf_counter()
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        line = self.line(self.plan, self.ended, measured, now - self.since, self.images)
        log.info(line)
        self.ended, self.since, self.images = None, now, 0
        if self.speaks and now - self.said >= LINE_EVERY:
            self.said = now
            print(f"{self.name}: {line}" if self.name else line, file=sys.stderr, flush=True)

    @staticmethod
    def line(plan: PhasePlan, epoch: int, measured: Mapping[str, float], seconds: float, images: int) -> str:
        """Format the line of an epoch.

        Args:
            plan: the run's phases.
            epoch: zero-based.
            measured: logged metrics of the epoch, by name; missing ones are left out.
            seconds: duration of the epoch, with its validation.
            images: number of training images, noise images included.
        """
        formats = {"train/loss": "loss {:.3f}", "train/accuracy": "accuracy {:.1%}"}
        formats |= {MONITOR: "validation {:.1%}", "lr": "lr {:.3g}", "noise_share": "noise {:.0%}"}
        parts = [f"epoch {epoch + 1}/{plan.max_epochs} {plan.at(epoch).name}"]
        parts += [form.format(measured[name]) for name, form in formats.items() if name in measured]
        left = timedelta(seconds=round(seconds * (plan.max_epochs - epoch - 1)))
        return " ".join([*parts, f"{images / seconds:,.0f} images/s", f"{left} left"])
