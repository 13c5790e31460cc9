"""Undoes a training step, without waiting to learn whether that is needed."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics import Metric


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
    def take_back(self, spoilt: Tensor) -> None:
        """Restore the copy where ``spoilt`` is true.

        Args:
            spoilt: a scalar, bool, on the device of the weights. The device is waited for only after an optimizer's
                first step, which creates its state.
        """
        for tensor, before in self.tensors:
            if tensor.device == spoilt.device:
                tensor.copy_(torch.where(spoilt, before, tensor))
        for metric, name, before in self.metrics:
            setattr(metric, name, torch.where(spoilt, before, getattr(metric, name)))
        if not self.had_state and self.optimizer.state and bool(spoilt):
            self.optimizer.state.clear()


def _state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
