"""Early stopping that knows of phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import callbacks

from oponm.errors import InputError, check_int, check_real


class EarlyStopping(callbacks.EarlyStopping):
    """Ends training where a figure no longer gets better, but only in the method's last phase.

    Lightning's own would end a method before the phase that makes it what it is. Take that by its ``_target_``, if this
    is what you want.

    Args:
        monitor: the figure, such as ``val/balanced_accuracy``.
        patience: how often in a row the figure may be no better, at least 0.
        min_delta: by how much a better figure is better.
        **options: of Lightning's ``EarlyStopping``: ``mode``, ``stopping_threshold`` and others.

    Raises:
        InputError: in the first epoch, for a figure of validation that nothing logs; for one of training in the last
            phase, as some are of noise.

    Example:
        >>> EarlyStopping("val/balanced_accuracy", mode="max", patience=5).patience
        5
    """

    changes_nothing = True  # of the weights of phases that others share

    def __init__(self, monitor: str, patience: int = 3, min_delta: float = 0.0, **options: Any) -> None:
        check_int("patience", patience, minimum=0)
        super().__init__(monitor, check_real("min_delta", min_delta, 0), patience, **options)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at a figure of training."""
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_train_epoch_end(self, trainer, pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at a figure of validation."""
        if self.monitor.startswith("val/") and not trainer.sanity_checking:
            self._require(trainer)
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_validation_end(self, trainer, pl_module))

    def _look(self, trainer: pl.Trainer, look: Callable[[], None]) -> None:
        """Look, and say of a figure that nothing logs which there are."""
        try:
            look()
        except RuntimeError:
            self._require(trainer)
            raise

    def _require(self, trainer: pl.Trainer) -> None:
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"watches {self.monitor}, which is not among {known}", "callbacks")
