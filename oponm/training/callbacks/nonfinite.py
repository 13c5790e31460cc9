"""Handles losses that are not finite: the run stops before the next checkpoint, or the steps are undone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from oponm.errors import InputError

log = logging.getLogger(__name__)
REACTIONS = ("stop", "skip")
LOOK_EVERY = 50  # steps


class NonFinite(pl.Callback):
    """Records on the device whether the loss of each step is finite, without synchronizing with the device.

    The records and the weights are checked every :data:`LOOK_EVERY` steps, after the last step of an epoch and before a
    checkpoint is written. So no checkpoint, best epoch or stored phase is written after a step with a non-finite loss
    that was not undone. All processes of a run take the same decision.

    Args:
        reaction: ``"stop"`` ends the run. ``"skip"`` undoes a step with a non-finite loss: weights, buffers, optimizer
            state and training metrics are restored from a copy that is made before each step. A step count that the
            optimizer keeps on the CPU for weights on another device, as Adam does, is not restored.
        last_good: function that returns a clause naming the last good checkpoint, for the error.

    Attributes:
        skipped: number of steps undone so far.
    """

    def __init__(self, reaction: str = "stop", last_good: Callable[[], str] = lambda: "") -> None:
        self.skips, self.last_good, self.skipped = reaction == "skip", last_good, 0
        self.in_epoch = 0

    def state_dict(self) -> dict[str, int]:
        """Return the number of steps undone in the run so far, and in this epoch."""
        return {"skipped": self.skipped, "in_epoch": self.in_epoch}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the two counts."""
        self.skipped, self.in_epoch = state_dict["skipped"], state_dict["in_epoch"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Reset the records."""
        self.first = torch.full((), -1, device=module.device)  # step at which the loss was not finite
        self.count = torch.zeros((), dtype=torch.int64, device=module.device)  # steps skipped since the last check

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Reset the count of the epoch's undone steps."""
        self.in_epoch = 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Copy the state before the step, in case the step must be undone."""
        if self.skips:
            self.rewind = Rewind(module, trainer.optimizers[0])

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record whether the loss was finite; with ``"skip"``, undo the step if it was not."""
        nonfinite = (~outputs["loss"].isfinite()).any()
        if self.skips:
            nonfinite = _in_any(trainer, nonfinite.long()) > 0
            self.rewind.take_back(nonfinite)
            self.count += nonfinite
        else:
            self.first = torch.where((self.first < 0) & nonfinite, trainer.global_step, self.first)
        if trainer.is_last_batch or trainer.global_step % LOOK_EVERY == 0:
            self.look(trainer, module)

    def look(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Check the recorded losses and the weights, which waits for the device; all processes must call it.

        Raises:
            InputError: if a loss (with ``"stop"``) or a weight is not finite, naming the step and the last good
                checkpoint.
        """
        nonfinite = torch.stack([~tensor.isfinite().all() for tensor in module.state_dict().values()]).any()
        seen = _in_any(trainer, torch.stack([self.first, nonfinite.long(), self.count]))
        first, weights, skipped = seen.tolist()
        if first >= 0 or weights:
            what = "loss diverge" if first >= 0 else "weights diverge, to values that are not finite"
            raise InputError(f"makes the {what} ({self._where(trainer, module, first)})", "optimizer")
        if skipped:
            self.skipped += skipped
            self.in_epoch += skipped
            self.count.zero_()
            log.warning(
                "%d steps up to step %d had a loss that is not finite and were skipped, %d so far",
                *(skipped, trainer.global_step, self.skipped),
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log the number of undone steps of the epoch, if there were any."""
        if self.in_epoch:
            module.log("skipped_steps", float(self.in_epoch))

    def _where(self, trainer: pl.Trainer, module: Any, first: int) -> str:
        step = first if first >= 0 else trainer.global_step
        phase = module.plan.at(trainer.current_epoch).name
        rate = f"phase {phase}, learning rate {module.learning_rate:g}"
        return f"step {step}, epoch {trainer.current_epoch}, {rate}): lower optimizer.lr ({self.last_good()}"


def _in_any(trainer: pl.Trainer, numbers: Tensor) -> Tensor:
    """Element-wise maximum over the processes of the run, on the device."""
    if trainer.world_size > 1:
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
    return numbers


class Rewind:
    """A copy of everything that a training step changes: weights, buffers, optimizer state and training metrics.

    Args:
        module: the module, before the step.
        optimizer: its optimizer.

    Example:
        >>> model = pl.LightningModule()
        >>> model.layer = torch.nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
        >>> before, rewind = model.layer.weight.item(), Rewind(model, optimizer)
        >>> model.layer(torch.tensor([[float("nan")]])).sum().backward()
        >>> optimizer.step()
        >>> rewind.take_back(torch.tensor(True))
        >>> model.layer.weight.item() == before, len(optimizer.state)
        (True, 0)
    """

    @torch.no_grad()
    def __init__(self, module: pl.LightningModule, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.had_state = optimizer, bool(optimizer.state)
        tensors = [*module.parameters(), *module.buffers()]
        self.tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self.tensors += [(tensor, tensor.clone()) for tensor in _state_tensors(optimizer)]
        self.metrics: list[tuple[Metric, str, Any]] = [
            (metric, name, value.clone())
            for metric in module.modules()
            if isinstance(metric, Metric)
            for name, value in metric.metric_state.items()
            if isinstance(value, Tensor)
        ]

    @torch.no_grad()
    def take_back(self, nonfinite: Tensor) -> None:
        """Restore the copy if ``nonfinite`` is true; else change nothing.

        Tensors on another device than the weights, such as Adam's step count on the CPU, are not restored. This waits
        for the device only after the first step of an optimizer, which creates the optimizer's state.

        Args:
            nonfinite: a scalar, bool, on the device of the weights: whether the loss of the step was not finite.
        """
        for tensor, before in self.tensors:
            if tensor.device == nonfinite.device:
                tensor.copy_(torch.where(nonfinite, before, tensor))
        for metric, name, before in self.metrics:
            setattr(metric, name, torch.where(nonfinite, before, getattr(metric, name)))
        if not self.had_state and self.optimizer.state and bool(nonfinite):
            self.optimizer.state.clear()


def _state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
