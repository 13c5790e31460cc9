"""Averages of the weights, by Lightning's ``WeightAveraging``; the averages are validated, tested and saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from oponm.errors import InputError, check_int, check_real
from oponm.training.parts import SCALED
from oponm.training.phases import PhasePlan


def check_averages(callbacks: Sequence[pl.Callback], plan: PhasePlan) -> None:
    """Check that the callbacks can average the weights; they cannot if a phase adds a learnable scale (method ``lws``).

    Args:
        callbacks: the trainer's callbacks.
        plan: the phases.

    Raises:
        InputError: if a callback averages weights and a phase trains a scale of the classifier, or if two callbacks
            average weights.
    """
    averages = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
    if averages and any(phase.trainable in SCALED for phase in plan.phases):
        raise InputError(
            "cannot average the weights of a method that adds a scale to the classifier, such as lws: leave "
            f"{type(averages[0]).__name__} out",
            "callbacks",
        )
    if len(averages) > 1:
        names = " and ".join(type(average).__name__ for average in averages)
        raise InputError(
            f"contain several averages of the weights, {names}, but a checkpoint stores only one: leave one out",
            "callbacks",
        )


class ExponentialAverage(WeightAveraging):
    r"""Keeps an exponential moving average of the weights over all phases.

    After update :math:`n` (zero-based) the previous average has the weight

    .. math:: \min\Big(d, \frac{1 + n}{10 + n}\Big)

    so that the average also follows the weights in runs that are too short for :math:`d`; a plain average with
    :math:`d = 0.999` would still hold a third of the initial weights after 1,000 steps.

    Args:
        decay: d, the largest weight of the previous average, in [0, 1].
        update_every_n_steps: number of optimizer steps between two updates, at least 1.
        **options: of Lightning's ``WeightAveraging``, such as ``device``.

    Raises:
        InputError: when training begins, for a method that trains the scale of a classifier.

    Example:
        >>> average = ExponentialAverage(decay=0.99)
        >>> [round(average.weight(n), 3) for n in (0, 10, 10_000)]
        [0.1, 0.55, 0.99]
    """

    def __init__(self, decay: float = 0.999, update_every_n_steps: int = 1, **options: Any) -> None:
        super().__init__(avg_fn=self._average, **options)
        self.decay = check_real("decay", decay, 0, 1)
        self.update_every_n_steps = check_int("update_every_n_steps", update_every_n_steps, minimum=1)
        self.settings = {"decay": decay, "update_every_n_steps": update_every_n_steps, **options}  # for the phase cache

    def weight(self, updates: int) -> float:
        """The weight of the previous average at an update.

        Args:
            updates: number of updates before it.
        """
        return min(self.decay, (1 + updates) / (10 + updates))

    def _average(self, average: Tensor, weights: Tensor, updates: Tensor | int) -> Tensor:
        return average.lerp(weights, 1 - self.weight(int(updates))) if average.is_floating_point() else weights

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether weights are averaged after a step (every ``update_every_n_steps``); never at the end of an epoch."""
        return step_idx is not None and step_idx % self.update_every_n_steps == 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise InputError if the weights cannot be averaged, by :func:`check_averages`."""
        check_averages(trainer.callbacks, pl_module.plan)  # type: ignore


class StochasticAverage(WeightAveraging):
    """Averages the weights at the ends of the last epochs (SWA); before that nothing is averaged.

    Batch norm statistics are averaged as well, whereas the publication recomputes them from the training images.
    The learning rate follows the run's schedule: there is no separate rate for SWA.

    Args:
        start: fraction of the epochs after which averaging begins, in [0, 1]; at 1 only the last epoch counts.

    Raises:
        InputError: when training begins, for a method that trains the scale of a classifier.

    References:
        Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.

    Example:
        >>> StochasticAverage(start=0.75).should_update(epoch_idx=3)
        False
    """

    def __init__(self, start: float = 0.9) -> None:
        super().__init__()
        self.start, self.updated = check_real("start", start, 0, 1), False
        self.settings = {"start": self.start}  # for the phase cache
        self.first: int | None = None  # epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether weights are averaged after an epoch; never after a step."""
        due = self.first is not None and epoch_idx is not None and epoch_idx >= self.first
        self.updated |= due
        return due

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise InputError if the weights cannot be averaged, and compute the first epoch to average."""
        check_averages(trainer.callbacks, pl_module.plan)  # type: ignore
        self.first = min(int(self.start * (trainer.max_epochs or 1)), (trainer.max_epochs or 1) - 1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the mean in place of the weights, if averaging has begun."""
        if self.updated:
            super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the mean, if averaging has begun."""
        self.swapped = self.updated
        if self.swapped:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the weights of training."""
        if self.swapped:
            super().on_validation_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, and whether averaging has begun."""
        return {**super().state_dict(), "updated": self.updated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of averaging."""
        super().load_state_dict(state_dict)
        self.updated = state_dict["updated"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the mean in place of the weights, if averaging has begun."""
        if self.updated:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)
