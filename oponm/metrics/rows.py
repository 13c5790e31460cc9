"""Loss and accuracy in training, for natural and noise rows separately."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMetrics(Metric):
    r"""Means of loss and accuracy over the natural rows of an epoch, and over its noise rows.

    .. math:: \frac{1}{|R|} \sum_{i \in R} \ell_i \quad \text{and} \quad
        \frac{1}{|R|} \sum_{i \in R} [\hat y_i = y_i], \quad R \text{ the rows of one kind}

    An update runs on the device without synchronization; ``torchmetrics.MeanMetric`` searches for NaN at each update,
    or with ``nan_strategy="disable"`` ignores the weights. All states are sums, and are summed over processes.

    Example:
        >>> metric = RowMetrics()
        >>> losses, correct = torch.tensor([1.0, 3.0, 8.0, 0.0]), torch.tensor([True, True, False, False])
        >>> metric.update(losses, correct, is_noise=torch.tensor([False, True, True, False]))
        >>> {name: value.item() for name, value in metric.compute().items()}
        {'loss_natural': 0.5, 'accuracy_natural': 0.5, 'loss_noise': 5.5, 'accuracy_noise': 0.5, 'noise_share': 0.5}
    """

    full_state_update = False
    is_differentiable = False
    losses: Tensor
    correct: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("losses", torch.zeros(2), dist_reduce_fx="sum")
        self.add_state("correct", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, losses: Tensor, correct: Tensor, is_noise: Tensor | None = None) -> None:
        """Add a batch to the sums.

        Args:
            losses: loss of each row, (N,).
            correct: whether each row is predicted as its label, (N,), bool; for a noise row, its training label.
            is_noise: (N,), bool; None if all rows are natural.
        """
        if is_noise is None:
            is_noise = torch.zeros_like(correct)
        kinds = torch.stack([~is_noise, is_noise])
        self.losses += torch.where(kinds, losses.float(), 0).sum(1)
        self.correct += (kinds & correct).sum(1)
        self.rows += kinds.sum(1)

    def compute(self) -> dict[str, Tensor]:
        """The means, as scalars.

        Returns:
            ``loss_natural`` and ``accuracy_natural`` if there were natural rows, ``loss_noise`` and ``accuracy_noise``
            if there were noise rows, and ``noise_share``, the share of noise among all rows.
        """
        counted = self.rows.tolist()
        means = {}
        for kind, name in enumerate(("natural", "noise")):
            if counted[kind]:
                means[f"loss_{name}"] = self.losses[kind] / self.rows[kind]
                means[f"accuracy_{name}"] = self.correct[kind] / self.rows[kind]
        if any(counted):
            means["noise_share"] = self.rows[1] / self.rows.sum()
        return means
