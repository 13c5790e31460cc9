"""What a confusion matrix tells: all that is counted by class.

Entry (i, j) of the matrix is the number of images of class i that were taken for class j. A class without images has no
recall, and one that is never predicted no precision; both are NaN here, and means leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.errors import check_real


def class_recall(confusion: Tensor) -> Tensor:
    r"""The share of each class's images that are recognised.

    .. math:: r_i = M_{ii} \Big/ \sum_j M_{ij}

    Args:
        confusion: (K, K), counts.

    Returns:
        (K,), float64, in [0, 1]; NaN for a class without images.

    Example:
        >>> class_recall(torch.tensor([[3, 1], [0, 0]]))
        tensor([0.7500,    nan], dtype=torch.float64)
    """
    return confusion.diagonal().double() / confusion.sum(1)


def class_precision(confusion: Tensor) -> Tensor:
    r"""The share of the images taken for each class that are of it.

    .. math:: p_j = M_{jj} \Big/ \sum_i M_{ij}

    Args:
        confusion: (K, K), counts.

    Returns:
        (K,), float64, in [0, 1]; NaN for a class that is never predicted.

    Example:
        >>> class_precision(torch.tensor([[3, 0], [1, 0]]))
        tensor([0.7500,    nan], dtype=torch.float64)
    """
    return confusion.diagonal().double() / confusion.sum(0)


def macro_f1(confusion: Tensor) -> Tensor:
    r"""The mean over classes of the harmonic mean of precision and recall.

    .. math:: \frac{1}{|S|} \sum_{i \in S} \frac{2 M_{ii}}{\sum_j M_{ij} + \sum_j M_{ji}}, \quad
        S = \text{classes that have images or are predicted}

    As scikit-learn's ``f1_score(average="macro")``: a class is 0 if only one of its two terms is defined.

    Args:
        confusion: (K, K), counts, not all 0.

    Returns:
        A scalar, float64, in [0, 1].

    Example:
        >>> macro_f1(torch.tensor([[3, 0, 0], [1, 0, 0], [0, 0, 0]]))
        tensor(0.4286, dtype=torch.float64)
    """
    return (2 * confusion.diagonal().double() / (confusion.sum(0) + confusion.sum(1))).nanmean()


def geometric_mean(recall: Tensor, correction: float = 0.0) -> Tensor:
    r"""The geometric mean of the classes' recalls.

    .. math:: \Big( \prod_{i=1}^{K} \max(r_i, c) \Big)^{1 / K}

    One class that is never recognised makes it 0, whatever the others are, which on long tails is common; a correction
    above 0 stands in for such recalls, and 0.001 is usual. Numbers with different corrections do not compare.

    Args:
        recall: of each class, (K,); NaN is left out.
        correction: c, the least that a recall counts, in [0, 1].

    Returns:
        A scalar, in [0, 1].

    Raises:
        InputError: for a correction out of range.

    References:
        Kubat, Matwin, "Addressing the Curse of Imbalanced Training Sets: One-Sided Selection", ICML 1997. The
        correction is that of imbalanced-learn's ``geometric_mean_score``.

    Example:
        >>> geometric_mean(torch.tensor([0.9, 0.4])), geometric_mean(torch.tensor([0.9, 0.0]))
        (tensor(0.6000), tensor(0.))
        >>> geometric_mean(torch.tensor([0.9, 0.0]), correction=0.001)
        tensor(0.0300)
    """
    return recall.clamp(min=check_real("correction", correction, 0, 1)).log().nanmean().exp()


def mean_recall(recall: Tensor, classes: Sequence[int]) -> float | None:
    """The mean recall of some classes.

    Args:
        recall: of each class, (K,); NaN is left out.
        classes: labels.

    Returns:
        In [0, 1]; None if no class has a recall.

    Example:
        >>> recall = torch.tensor([0.75, 0.25, float("nan")])
        >>> mean_recall(recall, [0, 1]), mean_recall(recall, [2])
        (0.5, None)
    """
    known = recall[torch.tensor(classes, dtype=torch.long)]
    known = known[~known.isnan()]
    return float(known.mean()) if len(known) else None
