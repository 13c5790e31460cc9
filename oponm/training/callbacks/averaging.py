"""Averages of the weights, by Lightning's ``WeightAveraging``; the averages are validated, tested and saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging

from oponm.errors import InputError, check_real
from oponm.training.phases import PhasePlan


def check_averages(callbacks: Sequence[pl.Callback], plan: PhasePlan) -> None:
    """Check that weights can be averaged; averages have no place for a scale that a phase adds to the classifier.

    Args:
        callbacks: the trainer's callbacks.
        plan: the phases.

    Raises:
        InputError: for a method that trains the scale of a classifier, or two averages of the same weights.
    """
    averages = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
    if averages and any(phase.trainable == "scale" for phase in plan.phases):
        raise InputError("are not for methods that train the scale of a classifier, such as lws", "callbacks")
    if len(averages) > 1:
        names = " and ".join(type(average).__name__ for average in averages)
        raise InputError(
            f"hold several averages of the weights, {names}, and a checkpoint has room for one", "callbacks"
        )


class ExponentialAverage(EMAWeightAveraging):
    """Keeps an exponential moving average of the weights over all phases.

    Args:
        decay: weight of the previous average at each step.
        **options: of Lightning's ``EMAWeightAveraging``.

    Raises:
        InputError: when training begins, for a method that trains the scale of a classifier.

    Example:
        >>> ExponentialAverage(decay=0.99).update_every_n_steps
        1
    """

    def __init__(self, decay: float = 0.999, **options: Any) -> None:
        super().__init__(decay=check_real("decay", decay, 0, 1), **options)
        self.settings = {"decay": decay, **options}  # for the phase cache

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse what cannot be averaged."""
        check_averages(trainer.callbacks, pl_module.plan)  # type: ignore


class StochasticAverage(WeightAveraging):
    """Averages the weights at the ends of the last epochs (SWA); before that the model is the plain network.

    Batch norm statistics are averaged as well, whereas the publication recomputes them from the training images.
    The learning rate remains the schedule's.

    Args:
        start: share of training after which averaging begins, below 1.

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
        """Refuse a model that cannot be averaged, and find the first epoch to average."""
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
