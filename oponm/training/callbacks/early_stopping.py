"""Early stopping that knows of phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import callbacks

from oponm.errors import InputError


class EarlyStopping(callbacks.EarlyStopping):
    """Ends training where a figure no longer gets better, but only in the method's last phase.

    Lightning's own would end a method before the phase that makes it what it is. Take that by its ``_target_``, if this
    is what you want.

    Args:
        monitor: the figure, such as ``val/balanced_accuracy``.
        **options: of Lightning's ``EarlyStopping``: ``mode``, ``patience``, ``min_delta`` and others.

    Raises:
        InputError: in training, for a figure that nothing logs.

    Example:
        >>> EarlyStopping("val/balanced_accuracy", mode="max", patience=5).patience
        5
    """

    changes_nothing = True  # of the weights of phases that others share

    def __init__(self, monitor: str, **options: Any) -> None:
        super().__init__(monitor, **options)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at a figure of training."""
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_train_epoch_end(self, trainer, pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at a figure of validation."""
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_validation_end(self, trainer, pl_module))

    def _look(self, trainer: pl.Trainer, look: Callable[[], None]) -> None:
        """Look, and say of a figure that nothing logs which there are."""
        try:
            look()
        except RuntimeError as error:
            if self.monitor in trainer.callback_metrics:
                raise
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"watches {self.monitor}, which is not among {known}", "callbacks") from error
