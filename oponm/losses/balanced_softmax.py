"""Balanced softmax: the likelihood under the training set's class counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def balanced_softmax(logits: Tensor, targets: Tensor, class_counts: Tensor) -> Tensor:
    r"""Cross-entropy of a softmax in which each class is weighted by its training images.

    .. math:: \ell = -\log \frac{n_y e^{z_y}}{\sum_j n_j e^{z_j}}

    The loss accounts for the imbalance, so the softmax of the logits assumes a uniform class prior: evaluation uses the
    logits unchanged.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.

    Returns:
        Losses, (N,).

    References:
        Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020, Theorem 1.

    Example:
        >>> import torch
        >>> balanced_softmax(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([90, 10]))
        tensor([0.1054, 2.3026])
    """
    logits = at_least_float32(logits)
    return F.cross_entropy(logits + class_counts.to(logits.dtype).log(), targets, reduction="none")


class BalancedSoftmax(nn.Module):
    """The loss of :func:`balanced_softmax`.

    Args:
        class_counts: training images of each class, length K.

    Raises:
        InputError: for a class without an image.

    Example:
        >>> import torch
        >>> BalancedSoftmax([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.1054, 2.3026])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return balanced_softmax(logits, targets, self.class_counts)
