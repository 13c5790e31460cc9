"""Label distribution disentangling (LADE): logits approach log density ratios, free of class priors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.balanced_softmax import balanced_softmax
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def lade(
    logits: Tensor, targets: Tensor, class_counts: Tensor, alpha: float = 0.1, regularization: float = 0.01
) -> Tensor:
    r"""Balanced softmax, plus alpha times a bound on how far each class's logit is from a log density ratio.

    The mean over the N rows is the published loss: with priors :math:`\pi_c` and :math:`N_c` rows of class c,

    .. math:: \frac{1}{N} \sum_i \ell^{PC}_i + \alpha \sum_c \pi_c \Big(-\frac{1}{N_c} \sum_{i: y_i = c} z_{ic} + T_c
        + \lambda T_c^2\Big), \quad T_c = \log \frac{1}{N} \sum_i \frac{1 / K}{\pi_{y_i}} e^{z_{ic}}

    The bound depends on the whole batch, so a row's loss depends on the other rows. With several processes, the batch
    is each process's own rows. A class without a row in the batch has no first term. The weights in :math:`T_c` depend
    on each row's label, as published, so the sum estimates a mean over class-balanced data. The authors' code has
    :math:`\pi_c` in place of :math:`\pi_{y_i}`.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        alpha: factor of the bound, at least 0; 0 is balanced softmax.
        regularization: lambda, at least 0.

    Returns:
        Losses, (N,); they may be negative.

    References:
        Hong et al., "Disentangling Label Distribution for Long-tailed Visual Recognition", CVPR 2021; the factors
        :math:`\pi_c` of the sum as in the authors' code.

    Example:
        >>> lade(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([90, 10]), alpha=0)
        tensor([0.1054, 2.3026])
    """
    logits = at_least_float32(logits)
    priors = class_counts.to(logits.dtype) / class_counts.sum()
    here = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
    rows = logits.new_tensor(len(logits))
    # The factor N turns the sum over a class's rows into a part of the mean over all rows.
    own = (here * logits * (priors * rows / here.sum(0).clamp_min(1))).sum(1)
    weighed = logits - (len(priors) * priors).log()[targets, None]
    terms = torch.logsumexp(weighed, 0) - rows.log()
    bound = (priors * (terms + regularization * terms**2)).sum() - own
    return balanced_softmax(logits, targets, class_counts) + alpha * bound


class LADE(nn.Module):
    """The loss of :func:`lade`.

    Args:
        class_counts: training images of each class, length K.
        alpha: factor of the bound, at least 0.
        regularization: lambda, at least 0.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> LADE([90, 10], alpha=0)(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.1054, 2.3026])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], alpha: float = 0.1, regularization: float = 0.01) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.alpha = check_real("alpha", alpha, 0)
        self.regularization = check_real("regularization", regularization, 0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return lade(logits, targets, self.class_counts, self.alpha, self.regularization)
