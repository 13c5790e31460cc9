"""Early stopping in the last phase alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import callbacks

from oponm.errors import InputError, check_int, check_real


class EarlyStopping(callbacks.EarlyStopping):
    """Stops training when a metric no longer improves, but only in the method's last phase.

    Lightning's own callback could stop training before the phase that defines the method. To stop in any phase, use
    Lightning's callback by its ``_target_``.

    Args:
        monitor: name of a logged metric, such as ``val/balanced_accuracy``.
        patience: number of checks in a row without improvement after which training stops, at least 0.
        min_delta: smallest change of the metric that counts as an improvement, at least 0.
        **options: of Lightning's ``EarlyStopping``: ``mode``, ``stopping_threshold`` and others.

    Raises:
        InputError: in the first epoch, if a validation metric is not logged; in the last phase, if a training metric is
            not logged (some metrics of noise rows are logged only in some phases).

    Example:
        >>> EarlyStopping("val/balanced_accuracy", mode="max", patience=5).patience
        5
    """

    changes_nothing = True  # in the weights of shared phases

    def __init__(self, monitor: str, patience: int = 3, min_delta: float = 0.0, **options: Any) -> None:
        check_int("patience", patience, minimum=0)
        super().__init__(monitor, check_real("min_delta", min_delta, 0), patience, **options)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Check a training metric in the last phase."""
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_train_epoch_end(self, trainer, pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Check a validation metric in the last phase; in any epoch, check that it is logged."""
        if self.monitor.startswith("val/") and not trainer.sanity_checking:
            self._require(trainer)
        if trainer.current_epoch >= pl_module.plan.starts[-1]:
            self._look(trainer, lambda: callbacks.EarlyStopping.on_validation_end(self, trainer, pl_module))

    def _look(self, trainer: pl.Trainer, look: Callable[[], None]) -> None:
        """Check the metric; if it is not logged, raise an error that lists the logged metrics."""
        try:
            look()
        except RuntimeError:
            self._require(trainer)
            raise

    def _require(self, trainer: pl.Trainer) -> None:
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"watches {self.monitor}, which is not among {known}", "callbacks")
