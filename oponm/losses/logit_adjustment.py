"""The logit-adjusted loss: class priors added to the logits in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def logit_adjustment(logits: Tensor, targets: Tensor, class_counts: Tensor, tau: float = 1.0) -> Tensor:
    r"""Cross-entropy of the logits with a multiple of the log priors added.

    .. math:: \ell = -\log \frac{e^{z_y + \tau \log \pi_y}}{\sum_j e^{z_j + \tau \log \pi_j}},
        \quad \pi_j = n_j / \sum_k n_k

    With tau = 1 it is balanced softmax, with tau = 0 cross-entropy. Evaluation adds nothing to the logits.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        tau: factor of the log priors, at least 0.

    Returns:
        Losses, (N,).

    References:
        Menon et al., "Long-tail Learning via Logit Adjustment", ICLR 2021, Eq. 10.

    Example:
        >>> import torch
        >>> logit_adjustment(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([90, 10]))
        tensor([0.1054, 2.3026])
    """
    logits = at_least_float32(logits)
    log_priors = (class_counts.to(logits.dtype) / class_counts.sum()).log()
    return F.cross_entropy(logits + tau * log_priors, targets, reduction="none")


class LogitAdjustment(nn.Module):
    """The loss of :func:`logit_adjustment`.

    Args:
        class_counts: training images of each class, length K.
        tau: factor of the log priors, at least 0; 1 in the paper by Menon et al.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> import torch
        >>> LogitAdjustment([90, 10])(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.1054, 2.3026])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], tau: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.tau = check_real("tau", tau, 0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return logit_adjustment(logits, targets, self.class_counts, self.tau)
