"""Cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.losses.checks import check_below_one, check_counts
from oponm.losses.precision import at_least_float32


class CrossEntropy(nn.Module):
    r"""The negative log-likelihood of the target, optionally smoothed over the classes.

    .. math:: \ell = -(1 - \epsilon) \log p_y - \frac{\epsilon}{K} \sum_j \log p_j, \quad p = \mathrm{softmax}(z)

    Args:
        class_counts: training images of each class, not used by this loss.
        label_smoothing: epsilon, in [0, 1).

    Raises:
        InputError: for a class without an image, or an option out of range.

    References:
        Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, Sec. 7.

    Example:
        >>> import torch
        >>> CrossEntropy([100, 10])(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))
        tensor([0.6931, 2.1269])
    """

    def __init__(self, class_counts: Sequence[int], label_smoothing: float = 0.0) -> None:
        super().__init__()
        check_counts(class_counts)
        self.label_smoothing = check_below_one("label_smoothing", label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        logits = at_least_float32(logits)
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.label_smoothing)
