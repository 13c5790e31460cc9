"""Writes the checkpoints of a run atomically: the previous file stays valid until the new one is complete."""

from __future__ import annotations

import io
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    Checkpoint,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)

from oponm.data.loader import DecodingFailed
from oponm.errors import InputError
from oponm.signals import Stop, Stopped
from oponm.training.callbacks.nonfinite import NonFinite
from oponm.training.distributed import first_says, largest, world_size
from oponm.training.history import History

LAST, BEST = "last.ckpt", "best.ckpt"
MONITOR = "val/balanced_accuracy"
# Lightning callbacks that contradict settings and phases.
_CONTRADICT: dict[type[pl.Callback], tuple[str, str]] = {
    BatchSizeFinder: ("changes the batch size", "find it without, and set data.batch_size"),
    LearningRateFinder: ("changes the learning rate", "find it without, and set optimizer.lr"),
    BaseFinetuning: ("freezes weights and thaws them", "phases do by trainable, see method=crt"),
    ModelPruning: ("gives the network other weights than it is evaluated by", "prune the trained network"),
    StochasticWeightAveraging: (
        "takes another learning rate than the schedule",
        "take callbacks=swa, in code callbacks=['swa']",
    ),
}
_PROGRESS = {"ready": 0, "started": 0, "processed": 0, "completed": 0}


def save_whole(content: dict[str, Any], path: Path) -> None:
    """Write a file of tensors atomically: a temporary file in the same folder is flushed to the disk and renamed.

    Args:
        content: content that ``torch.load`` can read with ``weights_only=True``.
        path: the file; its folder is made.

    Raises:
        InputError: if the disk is full or the folder cannot be written; an existing file stays as it was.

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
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a write that failed
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        kept = "; the checkpoint before it is whole" if path.is_file() else ""
        raise InputError(f"{path}: cannot be written ({reason}): make room, or choose another folder{kept}") from error


class WholeFiles(TorchCheckpointIO):
    """CheckpointIO plugin that writes checkpoints atomically, and reads them without executing code.

    Attributes:
        held: dict from a path to the content that is loaded in place of that file, once.
        failure: error of the last write, if it failed in a run of several processes; all of them then raise it.
    """

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.failure: InputError | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: content of the checkpoint.
            path: the file.
            storage_options: a function; if it is given, it is called with the content, and no file is written.

        Raises:
            InputError: if the file cannot be written. With several processes the error is stored in ``failure``
                instead, so that all processes can raise it.
        """
        if storage_options is not None:
            storage_options(checkpoint)
            return
        try:
            save_whole(checkpoint, Path(path))
        except InputError as error:
            if world_size() == 1:
                raise
            self.failure = error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, or return the content that :attr:`held` has for its path.

        Args:
            path: the file.
            map_location: device of the tensors, as in ``torch.load``.
            weights_only: has no effect: the file is always read with ``weights_only=True``.
        """
        held = self.held.pop(str(path), None)
        return torch.load(path, map_location, weights_only=True) if held is None else held


class Checkpoints(Checkpoint):
    """Writes ``last.ckpt``, which a run resumes from, and with validation also ``best.ckpt``, of the best epoch.

    Lightning's ``ModelCheckpoint`` cannot write a checkpoint when a signal ends the run after a step, nor at the start
    of a phase, and it does not save the logged metrics.

    Args:
        folder: folder of the files.
        guard: the NonFinite callback; it checks losses and weights before each checkpoint, and its error names the last
            good checkpoint.
        validating: whether to write ``best.ckpt``, for the epoch with the highest :data:`MONITOR`.
        every: minimum time between two writes of ``last.ckpt``, as a timedelta.
        every_n_steps: also write ``last.ckpt`` after each multiple of this number of steps; None does not.

    Attributes:
        files: the trainer's CheckpointIO plugin, which writes the files.
        history: the logger that keeps the logged metrics.
        stop: records a signal that asks the run to end after the current step.
        best: ``{"score": ..., "epoch": ...}`` of the best epoch so far, or None.
        seconds: seconds of training in earlier processes of this run.
        reused: dict that describes the phases taken from the phase cache, for ``result.json``; None without any.
        ended: whether training is over, so that only the evaluation is left.
        begin: function without arguments that is called when training begins.
        begun: whether training has begun.
        started_epoch: while a checkpoint is written between two steps, whether the epoch has started; else None.
    """

    def __init__(
        self,
        folder: Path,
        guard: NonFinite,
        validating: bool = False,
        every: timedelta = timedelta(minutes=5),
        every_n_steps: int | None = None,
    ) -> None:
        self.folder, self.guard, self.validating = folder, guard, validating
        self.every, self.every_n_steps = every, every_n_steps
        self.files, self.history, self.stop = WholeFiles(), History(), Stop()
        guard.last_good = lambda: self.last_good
        self.best: dict[str, Any] | None = None
        self.reused: dict[str, Any] | None = None
        self.last_step: int | None = None
        self.begin: Callable[[], None] = lambda: None
        self.begun = False
        self.started_epoch: bool | None = None
        self.ended = False
        self.seconds = 0.0
        self.started = self.written = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds of training, including those of earlier processes."""
        return self.seconds + time.perf_counter() - self.started

    @property
    def last_good(self) -> str:
        """A clause that names the last good checkpoint, for an error message."""
        if self.last_step is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {self.folder / LAST}, after step {self.last_step}"

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch, times and logged metrics, which a resumed run needs besides weights and optimizer."""
        state = {"best": self.best, "seconds": round(self.elapsed, 3), "reused": self.reused, "ended": self.ended}
        return {**state, "history": self.history.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint, without the logged metrics: ``train`` passes these to the loggers."""
        self.best, self.seconds, self.reused = (state_dict[name] for name in ("best", "seconds", "reused"))

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save Lightning's counts of epochs and batches as they are at this step."""
        if self.started_epoch is None:
            return
        loop, epoch = checkpoint["loops"]["fit_loop"], trainer.current_epoch
        # Lightning's counts grow with each resumption, so that one step of a run could be taken for another.
        counts = {"ready": epoch + 1, "started": epoch + self.started_epoch, "processed": epoch, "completed": epoch}
        loop["epoch_progress"] = {"total": dict(counts), "current": dict(counts)}
        batches = loop["epoch_loop.batch_progress"]
        if not self.started_epoch:  # else Lightning would take the next epoch as finished
            batches["current"], batches["is_last_batch"] = dict(_PROGRESS), False
            loop["state_dict"]["combined_loader"] = [{"read": 0}]
            loop["epoch_loop.scheduler_progress"]["current"] = {"ready": 0, "completed": 0}
        if not batches["current"]["ready"] and _validates(trainer, 0, batches["total"]["ready"]):
            # Lightning will count a step before the first one.
            loop["epoch_loop.state_dict"]["_batches_that_stepped"] = trainer.global_step - 1

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Train no further epoch if the checkpoint was written after training had ended, also by early stopping."""
        trainer.should_stop = self.ended = state_of(checkpoint)["ended"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Call ``begin``; by now everything is set up, so no setting can be refused any more."""
        self.begun = True
        self.begin()
        if trainer.global_step:
            self.last_step = trainer.global_step

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Write ``last.ckpt`` if it is due, if a phase begins, or if the run is to end here."""
        begins = trainer.current_epoch in module.plan.starts and trainer.global_step != (self.last_step or 0)
        self._between_steps(trainer, module, False, begins)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last.ckpt`` if it is due; after the last step of an epoch, the epoch ends first."""
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        # A resumed run would skip the validation that follows this batch.
        total = trainer.fit_loop.total_batch_idx + 1
        if whole and not trainer.is_last_batch and not _validates(trainer, batch_idx + 1, total):
            self._between_steps(trainer, module, True)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Write ``last.ckpt`` after the last whole step if the images of the next one could not be loaded."""
        begun = trainer.training and trainer.global_step
        if isinstance(exception, DecodingFailed) and begun and world_size() == 1:
            self.guard.look(trainer, module)
            self.save_last(trainer, True)

    def _between_steps(
        self, trainer: pl.Trainer, module: pl.LightningModule, started: bool, begins: bool = False
    ) -> None:
        passed = begins or time.perf_counter() - self.written >= self.every.total_seconds()
        passed |= bool(self.every_n_steps and trainer.global_step and trainer.global_step % self.every_n_steps == 0)
        stopped, due = largest([self.stop.received or 0, int(passed)])  # clocks of machines differ
        if stopped or due:
            self.guard.look(trainer, module)
            self.save_last(trainer, started)
        if stopped:
            raise Stopped(stopped, trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Keep the weights of an epoch that is better than all before."""
        if not self.validating or trainer.sanity_checking or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        score = float(trainer.callback_metrics[MONITOR])
        if self.best is None or score > self.best["score"]:
            self.best = {"score": score, "epoch": trainer.current_epoch}
            averaged = any(isinstance(callback, WeightAveraging) for callback in _callbacks(trainer))
            self._save(trainer, BEST, weights_only=not averaged)  # the validated average is a callback's state

    def save_last(self, trainer: pl.Trainer, started: bool | None = None) -> None:
        """Write ``last.ckpt``: the weights and everything that training needs to resume here.

        Args:
            trainer: the trainer, between two steps or after training.
            started: whether the epoch has started; None when training is over.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self.started_epoch = started
        self._save(trainer, LAST)
        self.started_epoch = None
        self.last_step = trainer.global_step
        self.written = time.perf_counter()

    def _save(self, trainer: pl.Trainer, name: str, weights_only: bool = False) -> None:
        """Write a file in the first process; if it cannot be written, all processes raise the error."""
        trainer.save_checkpoint(self.folder / name, weights_only=weights_only)
        if world_size() > 1:
            failure, self.files.failure = self.files.failure, None
            if said := first_says(failure.message if failure else None):
                raise InputError(said) from failure


def state_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state that :class:`Checkpoints` has saved in a checkpoint.

    Args:
        checkpoint: content of the checkpoint.
    """
    return dict(checkpoint["callbacks"][Checkpoints.__qualname__])


def check_callbacks(callbacks: Sequence[pl.Callback]) -> None:
    """Check that callbacks do not contradict settings or phases, and that a checkpoint can store their states.

    Args:
        callbacks: the user's callbacks.

    Raises:
        InputError: naming a callback that is no Lightning callback, that contradicts the settings, or whose state has
            objects other than numbers, text, tensors and collections of them: to read these would execute code.

    Example:
        >>> check_callbacks([pl.callbacks.LearningRateMonitor()])
    """
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, pl.Callback):
            remedy = "give objects such as oponm.training.callbacks.ExponentialAverage()"
            raise InputError(f"must be Lightning's, got {callback!r}: {remedy}", "callbacks")
        for kind, (does, remedy) in _CONTRADICT.items():
            if isinstance(callback, kind):
                raise InputError(f"contain {name}, which {does}: {remedy}", "callbacks")
        written = io.BytesIO()
        try:
            torch.save(callback.state_dict(), written)
            written.seek(0)
            torch.load(written, weights_only=True)
        except (pickle.PickleError, AttributeError, TypeError) as error:
            remedy = "let its state_dict give numbers, strings, tensors and collections of them"
            raise InputError(f"contain {name}, whose state no checkpoint can keep: {remedy}", "callbacks") from error


def _validates(trainer: pl.Trainer, within: int, total: int) -> bool:
    """Whether the trainer validates after ``within`` batches of the epoch and ``total`` batches of all epochs."""
    every, batches = trainer.check_val_every_n_epoch, trainer.val_check_batch or 1
    due_epoch = not every or (trainer.current_epoch + 1) % every == 0
    due = due_epoch and (within if every else total) % batches == 0
    return trainer.enable_validation and batches != math.inf and due


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]
