"""Softmax equalization loss (SEQL): images of other classes lower the logits of rare classes less often."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def equalization(
    logits: Tensor, targets: Tensor, class_counts: Tensor, beta: Tensor, threshold: float = 0.05
) -> Tensor:
    r"""Cross-entropy of a softmax whose denominator leaves out rare classes at random, but never the target.

    .. math:: \ell = -\log \frac{e^{z_y}}{\sum_k w_k e^{z_k}}, \quad
        w_k = 1 - \beta_k \, [\pi_k < \lambda] \, (1 - y_k), \quad \pi_k = n_k / \sum_j n_j

    with y the target as a unit vector.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        beta: (N, K), bool: whether the class is left out for the row if it is rare and not the target.
        threshold: lambda, in [0, 1]; classes with a smaller fraction of the training images are rare.

    Returns:
        Losses, (N,).

    References:
        Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR 2020: the softmax equalization loss.

    Example:
        >>> counts, out = torch.tensor([90, 9, 1]), torch.ones(2, 3, dtype=torch.bool)
        >>> equalization(torch.zeros(2, 3), torch.tensor([0, 2]), counts, out)
        tensor([0.6931, 1.0986])
    """
    logits = at_least_float32(logits)
    rare = class_counts < threshold * class_counts.sum()
    left_out = beta & rare & ~F.one_hot(targets, logits.shape[1]).bool()
    return F.cross_entropy(logits.masked_fill(left_out, -torch.inf), targets, reduction="none")


class Equalization(nn.Module):
    """The loss of :func:`equalization`; it draws from torch's generator of the logits' device.

    Args:
        class_counts: training images of each class, length K.
        gamma: probability that a rare class is left out, for each row and class, in [0, 1].
        threshold: classes with a smaller fraction of the training images are rare, in [0, 1].

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> Equalization([90, 9, 1], gamma=1.0)(torch.zeros(2, 3), torch.tensor([0, 2]))
        tensor([0.6931, 1.0986])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float = 0.9, threshold: float = 0.05) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.gamma, self.threshold = check_real("gamma", gamma, 0, 1), check_real("threshold", threshold, 0, 1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        beta = torch.rand(logits.shape, dtype=torch.float32, device=logits.device) < self.gamma
        return equalization(logits, targets, self.class_counts, beta, self.threshold)
