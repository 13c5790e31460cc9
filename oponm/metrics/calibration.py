"""The distance between a classifier's confidence and its accuracy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from oponm.errors import check_int


class ExpectedCalibrationError(Metric):
    r"""The expected calibration error (ECE) over bins of equal width, in memory independent of the number of images.

    .. math:: \sum_{b=1}^{B} \frac{n_b}{N} \left| \mathrm{acc}_b - \mathrm{conf}_b \right|
        = \frac{1}{N} \sum_{b=1}^{B} \Big| \sum_{i \in b} \left( [\hat y_i = y_i] - \hat p_i \right) \Big|

    where p is the largest softmax probability of a row, and bin b takes rows of (b - 1) / B <= p < b / B, the last one
    also p = 1. So B sums and a count suffice. ``torchmetrics.classification.MulticlassCalibrationError`` keeps every
    row, puts p = 1 into a bin of its own, and treats logits that happen to lie in [0, 1] as probabilities. Otherwise
    the two agree.

    Args:
        num_bins: number of bins B.

    Raises:
        InputError: for fewer than one bin.

    References:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, Eq. 3 (with 15 bins).

    Example:
        >>> metric = ExpectedCalibrationError()
        >>> metric.update(torch.tensor([[0.0, 0.0], [0.0, 99.0]]), torch.tensor([0, 0]))
        >>> metric.compute()
        tensor(0.7500)
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    gaps: Tensor
    rows: Tensor

    def __init__(self, num_bins: int = 15) -> None:
        super().__init__()
        self.num_bins = check_int("num_bins", num_bins, minimum=1)
        self.add_state("gaps", torch.zeros(num_bins), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (N, K); half precision is raised to float32.
            targets: (N,), int64.
        """
        confidence, predicted = logits.float().softmax(1).max(1)
        bins = (confidence * self.num_bins).long().clamp(max=self.num_bins - 1)
        # A product instead of index_add_, as that sums in a varying order on CUDA.
        self.gaps += ((predicted == targets).float() - confidence) @ F.one_hot(bins, self.num_bins).float()
        self.rows += len(targets)

    def compute(self) -> Tensor:
        """The error, a scalar in [0, 1]; NaN before the first row."""
        return self.gaps.abs().sum() / self.rows
