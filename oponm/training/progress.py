"""A progress bar over the epochs of a run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oponm.training.phases import PhasePlan


class EpochProgress(pl.Callback):
    """Shows phase, loss, accuracy, noise share and time left on a terminal; silent elsewhere.

    Args:
        plan: the phases of the run.
    """

    def __init__(self, plan: PhasePlan) -> None:
        self.plan = plan
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description:22}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show the bar."""
        self.bar.start()
        self.task = self.bar.add_task("", total=self.plan.max_epochs, completed=trainer.current_epoch, values="")

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Name the phase."""
        self.bar.update(self.task, description=self.plan.at(trainer.current_epoch).name)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Advance by an epoch, and show what was measured up to the one before."""
        seen = trainer.callback_metrics
        if "train/loss" in seen:
            values = f"loss {seen['train/loss']:.3f} acc {seen['train/accuracy']:.1%} noise {seen['noise_share']:.0%}"
            self.bar.update(self.task, values=values)
        self.bar.advance(self.task)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        """Take the bar away, so that the error stands on a line of its own."""
        self.bar.stop()
