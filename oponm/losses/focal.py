"""The focal loss: less weight for rows that are classified well."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    r"""Cross-entropy times a power of 1 minus the target's probability.

    .. math:: \ell = -(1 - p_y)^\gamma \log p_y, \quad p = \mathrm{softmax}(z)

    With gamma = 0 it is cross-entropy. Loss and gradient are finite for any finite logits.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        gamma: exponent, at least 0.

    Returns:
        Losses, (N,).

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 4.

    Example:
        >>> focal(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]), gamma=1.0)
        tensor([0.3466, 1.8734])
    """
    log_p = F.log_softmax(at_least_float32(logits), dim=1).gather(1, targets[:, None]).squeeze(1)
    # For gamma below 1 the slope of the power is infinite at p = 1; loss and gradient are set to 0 there.
    lacking = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(lacking**gamma) * log_p


class Focal(nn.Module):
    """The loss of :func:`focal`.

    Args:
        class_counts: training images of each class, not used by this loss.
        gamma: exponent, at least 0; 2 in the paper by Lin et al.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> Focal([100, 10], gamma=1.0)(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))
        tensor([0.3466, 1.8734])
    """

    def __init__(self, class_counts: Sequence[int], gamma: float = 2.0) -> None:
        super().__init__()
        check_counts(class_counts)
        self.gamma = check_real("gamma", gamma, 0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return focal(logits, targets, self.gamma)
