"""Vector scaling (VS) and class-dependent temperatures (CDT): training divides the logits of rare classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts
from oponm.losses.precision import at_least_float32


def temperatures(class_counts: Tensor, gamma: float = 0.2, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""The temperature of each class; the most frequent class has 1, rarer ones more.

    .. math:: a_j = (n_{\max} / n_j)^\gamma

    Args:
        class_counts: training images of each class, (K,), each at least 1.
        gamma: exponent, at least 0.
        dtype: dtype of the temperatures.

    Returns:
        Temperatures, (K,), at least 1.

    References:
        Ye et al., "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning", arXiv 2001.01385.

    Example:
        >>> temperatures(torch.tensor([1600, 100]), gamma=0.5)
        tensor([1., 4.])
    """
    return (class_counts.max() / class_counts.to(dtype)) ** gamma


def vector_scaling(
    logits: Tensor, targets: Tensor, class_counts: Tensor, gamma: float = 0.2, tau: float = 1.2
) -> Tensor:
    r"""Cross-entropy of logits that are scaled by class and have a multiple of the log priors added.

    .. math:: \ell = \log\Big(1 + \sum_{j \ne y} e^{\iota_j - \iota_y} e^{\Delta_j z_j - \Delta_y z_y}\Big), \quad
        \Delta_j = (n_j / n_{\max})^\gamma, \; \iota_j = \tau \log \pi_j, \; \pi_j = n_j / \sum_k n_k

    With gamma = 0 it is logit adjustment, with tau = 0 it is CDT. Evaluation neither scales nor adds.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        gamma: exponent of the factors, at least 0.
        tau: factor of the log priors, at least 0.

    Returns:
        Losses, (N,).

    References:
        Kini et al., "Label-Imbalanced and Group-Sensitive Classification under Overparameterization", NeurIPS 2021,
        the VS-loss.

    Example:
        >>> logits, targets = torch.tensor([[2.0, 2.0], [2.0, 2.0]]), torch.tensor([0, 1])
        >>> vector_scaling(logits, targets, torch.tensor([160, 10]), gamma=0.25, tau=0)
        tensor([0.3133, 1.3133])
    """
    logits = at_least_float32(logits)
    log_priors = (class_counts.to(logits.dtype) / class_counts.sum()).log()
    scaled = logits / temperatures(class_counts, gamma, logits.dtype)
    return F.cross_entropy(scaled + tau * log_priors, targets, reduction="none")


def cdt(logits: Tensor, targets: Tensor, class_counts: Tensor, gamma: float = 0.2) -> Tensor:
    r"""Cross-entropy of logits that are divided by the temperature of their class.

    .. math:: \ell = -\log \frac{e^{z_y / a_y}}{\sum_j e^{z_j / a_j}}, \quad a_j = (n_{\max} / n_j)^\gamma

    Evaluation does not divide: training with divided logits makes the logits of rare classes larger.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        gamma: exponent of the temperatures, at least 0.

    Returns:
        Losses, (N,).

    References:
        Ye et al., "Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning", arXiv 2001.01385.

    Example:
        >>> logits, targets = torch.tensor([[2.0, 2.0], [2.0, 2.0]]), torch.tensor([0, 1])
        >>> cdt(logits, targets, torch.tensor([160, 10]), gamma=0.25)
        tensor([0.3133, 1.3133])
    """
    return vector_scaling(logits, targets, class_counts, gamma, tau=0)


class VectorScaling(nn.Module):
    """The loss of :func:`vector_scaling`.

    Args:
        class_counts: training images of each class, length K.
        gamma: exponent of the factors, at least 0.
        tau: factor of the log priors, at least 0.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> VectorScaling([160, 10], gamma=0.25, tau=0)(torch.full((2, 2), 2.0), torch.tensor([0, 1]))
        tensor([0.3133, 1.3133])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float = 0.2, tau: float = 1.2) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.gamma, self.tau = check_real("gamma", gamma, 0), check_real("tau", tau, 0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return vector_scaling(logits, targets, self.class_counts, self.gamma, self.tau)


class CDT(nn.Module):
    """The loss of :func:`cdt`.

    Args:
        class_counts: training images of each class, length K.
        gamma: exponent of the temperatures, at least 0; Ye et al. choose it in [0, 0.4] for CIFAR-10.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> CDT([160, 10], gamma=0.25)(torch.full((2, 2), 2.0), torch.tensor([0, 1]))
        tensor([0.3133, 1.3133])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.gamma = check_real("gamma", gamma, 0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        return cdt(logits, targets, self.class_counts, self.gamma)
