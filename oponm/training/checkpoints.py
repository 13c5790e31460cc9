"""The checkpoints of a run: written whole or not at all, the one before valid until then."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from oponm.data.loader import DecodingFailed
from oponm.errors import InputError
from oponm.signals import Stop, Stopped
from oponm.training.module import LongTailModule
from oponm.training.nonfinite import NonFinite
from oponm.training.processes import first_says, largest
from oponm.training.state import History, capture

LAST, BEST = "last.ckpt", "best.ckpt"
MONITOR = "val/balanced_accuracy"


def save_whole(content: dict[str, Any], path: Path) -> None:
    """Write a file of tensors to a temporary file beside it, to the disk, and rename it.

    Args:
        content: what ``torch.load`` reads with ``weights_only=True``.
        path: the file; its folder is made.

    Raises:
        InputError: if the disk is full or the folder cannot be written; what was there is left as it was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "checkpoints", "last.ckpt")
        >>> save_whole({"epoch": 3}, path)
        >>> torch.load(path, weights_only=True), [file.name for file in path.parent.iterdir()]
        ({'epoch': 3}, ['last.ckpt'])
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # the latter is torch's for a write that failed
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        kept = "; the checkpoint before it is whole" if path.is_file() else ""
        raise InputError(f"{path}: cannot be written ({reason}): make room, or choose another folder{kept}") from error


class Checkpoints(Checkpoint):
    """Keeps ``last.ckpt``, from which a run can go on, and with validation ``best.ckpt``, of its best epoch.

    Args:
        folder: for the files.
        history: what is logged.
        validating: keep the best epoch by :data:`MONITOR`.
        every: time between two writes of ``last.ckpt``.
        every_n_steps: write it after so many steps too; None does not.
        stop: asks for the run to end after the step.
        on_nonfinite: the reaction of ``guard``.

    Attributes:
        guard: what watches the loss, a callback of its own; looks before a checkpoint is written.
        skipped: steps whose loss was not finite, and that were taken back.
        best: ``{"score": ..., "epoch": ...}`` of the best epoch so far, or None.
        seconds: of training before this process.
        reused: what was taken from the phase cache, for ``result.json``.
    """

    def __init__(
        self,
        folder: Path,
        history: History,
        validating: bool = False,
        every: timedelta = timedelta(minutes=5),
        every_n_steps: int | None = None,
        stop: Stop | None = None,
        on_nonfinite: str = "stop",
    ) -> None:
        self.folder, self.history, self.validating = folder, history, validating
        self.every, self.every_n_steps, self.stop = every, every_n_steps, stop
        self.best: dict[str, Any] | None = None
        self.reused: dict[str, Any] | None = None
        self.guard = NonFinite(self, on_nonfinite)
        self.skipped = 0
        self.last_step: int | None = None
        self.steps_done: int | None = None  # of the epoch; None before the first one
        self.seconds = 0.0
        self.started = self.written = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of earlier processes included."""
        return self.seconds + time.perf_counter() - self.started

    @property
    def last_good(self) -> str:
        """Which checkpoint there is to go back to."""
        if self.last_step is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {self.folder / LAST}, after step {self.last_step}"

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over what a state of this run says of its best epoch and its seconds."""
        self.best, self.seconds, self.reused = state["best"], state["seconds"], state["reused"]
        self.skipped, self.last_step = state["skipped"], state["step"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note signals again, as Lightning has put handlers of its own in place meanwhile; it takes them away."""
        if self.stop:
            self.stop.listen()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write ``last.ckpt`` if it is due, or a phase begins, or if the run is to end here."""
        assert isinstance(module, LongTailModule)
        border = trainer.current_epoch in module.plan.starts and self.steps_done is not None
        self.steps_done = module.first_batch
        self._between_steps(trainer, module, module.first_batch, border)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last.ckpt`` if it is due; after the last step of an epoch, its end comes first."""
        if not trainer.is_last_batch:
            assert isinstance(module, LongTailModule)
            self.steps_done = module.first_batch + batch_idx + 1
            self._between_steps(trainer, module, self.steps_done)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Write ``last.ckpt`` of the last whole step where the next one's images did not come."""
        between = trainer.training and self.steps_done is not None and trainer.world_size == 1
        if isinstance(exception, DecodingFailed) and between:
            self.guard.look(trainer, module)
            self.save_last(trainer, module, self.steps_done or 0)

    def _between_steps(self, trainer: pl.Trainer, module: pl.LightningModule, batch: int, border: bool = False) -> None:
        passed = border or time.perf_counter() - self.written >= self.every.total_seconds()
        passed |= bool(self.every_n_steps and trainer.global_step and trainer.global_step % self.every_n_steps == 0)
        asked = (self.stop.received if self.stop else None) or 0
        stopped, due = largest([asked, int(passed)])  # one clock's minute is not another's
        if stopped or due:
            self.guard.look(trainer, module)
            self.save_last(trainer, module, batch)
        if stopped:
            raise Stopped(stopped, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Keep the weights of an epoch that is better than all before."""
        score = float(trainer.callback_metrics[MONITOR])
        if self.validating and (self.best is None or score > self.best["score"]):
            self.best = {"score": score, "epoch": trainer.current_epoch}
            self._save(trainer, self._weights(trainer, module), BEST)

    def save_last(self, trainer: pl.Trainer, module: pl.LightningModule, batch: int) -> None:
        """Write ``last.ckpt``: the weights, and all that training needs to go on from here.

        Args:
            trainer: in an epoch.
            module: what it trains.
            batch: steps of the epoch that are done.
        """
        assert isinstance(module, LongTailModule)
        state = capture(trainer, module, self.history, batch)
        state |= {"best": self.best, "seconds": round(self.elapsed, 3), "reused": self.reused}
        state["skipped"] = self.skipped
        self._save(trainer, {**self._weights(trainer, module), "training": state}, LAST)
        self.last_step = trainer.global_step
        self.written = time.perf_counter()

    def save_final(self, trainer: pl.Trainer, module: LongTailModule) -> None:
        """Write ``last.ckpt`` when training is over: the weights, and what is left to do, to evaluate them."""
        state: dict[str, Any] = {"epoch": module.plan.max_epochs, "batch": 0, "step": trainer.global_step}
        state |= {"model": module.model.state_dict(), "optimizer": None, "metrics": {}, "history": self.history.rows}
        state |= {"best": self.best, "seconds": round(self.elapsed, 3), "reused": self.reused}
        state["skipped"] = self.skipped
        self._save(trainer, {**self._weights(trainer, module), "training": state}, LAST)

    def _save(self, trainer: pl.Trainer, content: dict[str, Any], name: str) -> None:
        """Write a file in the first process; where it cannot be written, all of them say so and end."""
        failure = None
        if trainer.is_global_zero:
            try:
                save_whole(content, self.folder / name)
            except InputError as error:
                failure = error
        if said := first_says(failure.message if failure else None):
            raise InputError(said) from failure

    def _weights(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        content: dict[str, Any] = {"epoch": trainer.current_epoch, "global_step": trainer.global_step}
        module.on_save_checkpoint(content)
        return content
