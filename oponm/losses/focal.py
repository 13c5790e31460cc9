"""The focal loss: less weight for what is already right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def focal(logits: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    r"""Cross-entropy times a power of what the target's probability lacks.

    .. math:: \ell = -(1 - p_y)^\gamma \log p_y, \quad p = \mathrm{softmax}(z)

    With gamma = 0 it is cross-entropy. Loss and gradient are finite for any finite logits.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        gamma: at least 0.

    Returns:
        Losses, (N,).

    References:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Eq. 4.

    Example:
        >>> focal(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]), gamma=1.0)
        tensor([0.3466, 1.8734])
    """
    log_p = F.log_softmax(at_least_float32(logits), dim=1).gather(1, targets[:, None]).squeeze(1)
    # At p = 1 the power has, for gamma below 1, an infinite slope; the loss is 0 there, and so is its gradient.
    lacking = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(lacking**gamma) * log_p


class Focal(nn.Module):
    """The loss of :func:`focal`.

    Args:
        class_counts: training images of each class, which this loss does not depend on.
        gamma: at least 0; 2 in the publication.

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
        """Logits (N, K), targets (N,) -> losses (N,)."""
        return focal(logits, targets, self.gamma)
