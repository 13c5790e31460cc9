"""Class probabilities of samplers: pure functions of the class counts and of the progress of a phase.

All take ``class_counts``, (C,), int64, each at least 1, and ``progress`` in [0, 1], and return probabilities q, (C,),
float64, that sum to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

BETA = 0.9999


def class_balanced(class_counts: Tensor, progress: float) -> Tensor:
    r"""Draw each class with equal probability.

    .. math:: q_j = 1 / C

    Args:
        class_counts: training images n of each class, (C,).
        progress: not used.

    References:
        Zada, Benou, Irani, ICML 2022, Sec. 3.

    Example:
        >>> class_balanced(torch.tensor([8, 2]), 0.0)
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    return torch.full(class_counts.shape, 1 / len(class_counts), dtype=torch.float64)


def square_root(class_counts: Tensor, progress: float) -> Tensor:
    r"""Draw classes by the square root of their counts, between the data's shares and balance.

    .. math:: q_j = \frac{\sqrt{n_j}}{\sum_i \sqrt{n_i}}

    Args:
        class_counts: training images n of each class, (C,).
        progress: not used.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, Eq. (1) with
        exponent 1/2.

    Example:
        >>> square_root(torch.tensor([9, 1]), 0.0)
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    roots = class_counts.double().sqrt()
    return roots / roots.sum()


def progressively_balanced(class_counts: Tensor, progress: float) -> Tensor:
    r"""Move from the data's own shares to balance over a phase.

    .. math:: q_j = (1 - t) \frac{n_j}{\sum_i n_i} + t \frac{1}{C}

    Args:
        class_counts: training images n of each class, (C,).
        progress: t, the share of the phase that has passed: 0 in its first epoch, 1 in its last.

    References:
        Kang et al., ICLR 2020, Eq. (2).

    Example:
        >>> progressively_balanced(torch.tensor([9, 1]), 0.5)
        tensor([0.7000, 0.3000], dtype=torch.float64)
    """
    instance = class_counts / class_counts.sum(dtype=torch.float64)
    return (1 - progress) * instance + progress * class_balanced(class_counts, progress)


def effective_number(class_counts: Tensor, progress: float) -> Tensor:
    r"""Weight each image by the inverse of its class's effective number of images.

    .. math:: q_j = \frac{n_j / E_j}{\sum_i n_i / E_i}, \quad
        E_j = \frac{1 - \beta^{n_j}}{1 - \beta}, \quad \beta = 0.9999

    It is balanced for classes of much fewer than :math:`1 / (1 - \beta)` = 10,000 images, where E is about n; above,
    larger classes are drawn more often.

    Args:
        class_counts: training images n of each class, (C,).
        progress: not used.

    References:
        Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
        Proposition 1. Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS
        2019, re-sample by it.

    Example:
        >>> effective_number(torch.tensor([100_000, 100]), 0.0)
        tensor([0.9087, 0.0913], dtype=torch.float64)
    """
    counts = class_counts.double()
    # expm1, as 1 - beta**n loses digits for small n; the factor 1 - beta cancels in the quotient.
    weighted = counts / -torch.expm1(counts * torch.log(torch.tensor(BETA, dtype=torch.float64)))
    return weighted / weighted.sum()
