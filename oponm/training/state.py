"""All that the rest of a run depends on at one point of it, to be taken from one process and put into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torchmetrics import Metric

from oponm.data import LongTailDataModule
from oponm.training.module import LongTailModule
from oponm.training.parts import enter_part


class History(Logger):
    """Keeps what is logged, so that a run that goes on from another's state can log what led there as its own.

    Example:
        >>> history = History()
        >>> history.log_metrics({"loss": 0.5}, step=3)
        >>> history.rows
        [(3, {'loss': 0.5})]
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        """Its name to Lightning."""
        return "history"

    @property
    def version(self) -> str:
        """Its version to Lightning."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep one row."""
        self.rows.append((int(step or 0), dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters are no part of the history."""

    def last(self, prefix: str) -> dict[str, float]:
        """What was logged last under names that begin so.

        Example:
            >>> history = History()
            >>> history.log_metrics({"val/accuracy": 0.5, "lr": 0.1}, step=3)
            >>> history.last("val/")
            {'val/accuracy': 0.5}
        """
        found: dict[str, float] = {}
        for _, metrics in self.rows:
            found |= {name: float(value) for name, value in metrics.items() if name.startswith(prefix)}
        return found

    def replay(self, rows: Sequence[tuple[int, Mapping[str, float]]], loggers: Sequence[Logger]) -> None:
        """Keep rows of before, and log them to this run's loggers."""
        for step, metrics in rows:
            for logger in (self, *loggers):
                logger.log_metrics(dict(metrics), step)


def capture(trainer: pl.Trainer, module: LongTailModule, history: History, batch: int) -> dict[str, Any]:
    """The state of training between two steps.

    Args:
        trainer: in epoch ``trainer.current_epoch``.
        module: what it trains.
        history: what was logged so far.
        batch: steps of the epoch that are done, fewer than all; 0 before the first.

    Returns:
        What ``torch.load`` reads with ``weights_only=True``; tensors are those in use, not copies.
    """
    return {
        "epoch": trainer.current_epoch,
        "batch": batch,
        "step": trainer.global_step,
        "model": module.model.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "precision": trainer.precision_plugin.state_dict(),  # with precision=16-mixed, the scale of the loss
        "metrics": {name: _accumulated(metric) for name, metric in _metrics(module).items()} if batch else {},
        "history": history.rows,
    }


def restore(trainer: pl.Trainer, module: LongTailModule, data: LongTailDataModule, state: Mapping[str, Any]) -> None:
    """Put a captured state into a run that has not begun, as if it had trained up to there.

    The optimiser does not exist yet; :class:`OptimizerState` gives it its part, and precision its own.

    Args:
        trainer: not begun yet.
        module: what it will train, its plan set.
        data: what it will train on.
        state: what :func:`capture` gave.
    """
    epoch, batch = state["epoch"], state["batch"]
    module.first_batch = data.first_batch = batch
    if within_phase(module, state):
        phase = module.plan.at(epoch)
        module.follow(phase)
        enter_part(module.model, phase.trainable, reset=False, num_classes=len(module.class_counts))
    module.model.load_state_dict(state["model"])
    for name, metric in _metrics(module).items():
        if name in state["metrics"]:
            _resume(metric, state["metrics"][name])
    loop = trainer.fit_loop
    for count in (loop.epoch_progress.current, loop.epoch_progress.total):
        count.ready = count.started = count.processed = count.completed = epoch  # type: ignore[attr-defined]
    steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    steps.ready = steps.completed = loop.epoch_loop._batches_that_stepped = state["step"]


def within_phase(module: LongTailModule, state: Mapping[str, Any]) -> bool:
    """Whether the phase of a state had begun, and with it what it does to the network."""
    return bool(state["batch"]) or state["epoch"] not in (*module.plan.starts, module.plan.max_epochs)


class OptimizerState(pl.Callback):
    """Loads the optimiser's part of a captured state once Lightning has made the optimiser, and that of precision.

    Args:
        state: what :func:`capture` gave.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Load it; but at the end of a phase that trained a part, its optimiser went with it."""
        assert isinstance(module, LongTailModule)
        epoch = self.state["epoch"]
        if within_phase(module, self.state) or epoch == 0 or module.plan.at(epoch - 1).trainable == "all":
            trainer.optimizers[0].load_state_dict(self.state["optimizer"])
        if precision := self.state.get("precision"):
            trainer.precision_plugin.load_state_dict(precision)


def _metrics(module: LongTailModule) -> dict[str, Metric]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Metric)}


def _accumulated(metric: Metric) -> dict[str, Any]:
    return {"updates": metric._update_count, "state": dict(metric.metric_state)}


def _resume(metric: Metric, accumulated: Mapping[str, Any]) -> None:
    metric._update_count, metric._computed = accumulated["updates"], None
    for name, value in accumulated["state"].items():
        setattr(metric, name, value)
