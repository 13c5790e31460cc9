"""The label-distribution-aware margin (LDAM) loss: wider margins for rarer classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.losses.checks import check_counts, check_positive
from oponm.losses.precision import at_least_float32


def ldam_margins(class_counts: Tensor, max_margin: float = 0.5, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""The margin of each class; the rarest class has the largest.

    .. math:: m_j = C / n_j^{1/4}, \text{ with } C \text{ such that } \max_j m_j \text{ is } \texttt{max\_margin}

    Args:
        class_counts: training images of each class, (K,), each at least 1.
        max_margin: margin of the rarest class.
        dtype: dtype of the margins.

    Returns:
        Margins, (K,), in (0, max_margin].

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, Sec. 3.2.

    Example:
        >>> ldam_margins(torch.tensor([1600, 100]))
        tensor([0.2500, 0.5000])
    """
    return max_margin * (class_counts.min() / class_counts.to(dtype)) ** 0.25


def ldam(logits: Tensor, targets: Tensor, class_counts: Tensor, max_margin: float = 0.5, scale: float = 30.0) -> Tensor:
    r"""Cross-entropy after the target's logit has been lowered by its class's margin.

    .. math:: \ell = -\log \frac{e^{z_y - s m_y}}{e^{z_y - s m_y} + \sum_{j \ne y} e^{z_j}}

    The margins are differences of cosines, and the logits include the scale: z = s cos, from a cosine classifier with
    that scale. Thus softmax(z) is the model's prediction in training and in evaluation. The target's logit becomes
    s (cos - m), as in the authors' code. For the unbounded logits of a linear classifier the margins have no meaning.

    Args:
        logits: (N, K), in [-scale, scale].
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        max_margin: margin of the rarest class, see :func:`ldam_margins`.
        scale: s, the classifier's scale.

    Returns:
        Losses, (N,).

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, Sec. 3.2.

    Example:
        >>> cosines = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> ldam(10 * cosines, torch.tensor([0, 1]), torch.tensor([1600, 100]), scale=10)
        tensor([2.5789, 5.0067])
    """
    logits = at_least_float32(logits)
    lowered = scale * ldam_margins(class_counts, max_margin, logits.dtype)
    return F.cross_entropy(logits - lowered * F.one_hot(targets, logits.shape[1]), targets, reduction="none")


class LDAM(nn.Module):
    """The loss of :func:`ldam`, for logits of a cosine classifier (``head=cosine``).

    Args:
        class_counts: training images of each class, length K.
        max_margin: margin of the rarest class as a difference of cosines, above 0.
        scale: scale of the cosine classifier, above 0.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> cosines = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> LDAM([1600, 100], scale=10)(10 * cosines, torch.tensor([0, 1]))
        tensor([2.5789, 5.0067])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], max_margin: float = 0.5, scale: float = 30.0) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.max_margin = check_positive("max_margin", max_margin)
        self.scale = check_positive("scale", scale)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return ldam(logits, targets, self.class_counts, self.max_margin, self.scale)
