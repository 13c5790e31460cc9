"""Counts per class, three numbers each, and the metrics computed from them.

A class without images has no recall, and a class that is never predicted has no precision; both are NaN here, and means
leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from oponm.errors import check_int, check_real


class ClassCounts(Metric):
    r"""Counts for each class its images, those predicted correctly, and all images predicted as this class.

    .. math:: n_i = |\{k : t_k = i\}|, \quad h_i = |\{k : t_k = p_k = i\}|, \quad m_i = |\{k : p_k = i\}|

    for targets t and predictions p. An update runs on the device without synchronization. Counts are summed over
    processes.

    Args:
        num_classes: number of classes K.

    Raises:
        InputError: for fewer than one class.

    Example:
        >>> counts = ClassCounts(2)
        >>> counts.update(torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1, 1]))
        >>> counts.compute()
        tensor([[1, 1],
                [1, 2],
                [2, 1]])
    """

    full_state_update = False
    is_differentiable = False
    counted: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        classes = check_int("num_classes", num_classes, minimum=1)
        self.add_state("counted", torch.zeros(3, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch to the counts.

        Args:
            logits: (N, K).
            targets: (N,), int64, below K.
        """
        predicted = logits.argmax(1)
        one = torch.ones_like(targets)
        self.counted[0].index_add_(0, targets, (predicted == targets).to(targets.dtype))
        self.counted[1].index_add_(0, targets, one)
        self.counted[2].index_add_(0, predicted, one)

    def compute(self) -> Tensor:
        """(3, K), int64: correct images, images, and images predicted as each class."""
        return self.counted


def class_recall(hits: Tensor, images: Tensor) -> Tensor:
    r"""Return the fraction of each class's images that are predicted correctly.

    .. math:: r_i = h_i / n_i

    Args:
        hits: correctly predicted images of each class, (K,).
        images: images of each class, (K,).

    Returns:
        (K,), float64, in [0, 1]; NaN for a class without images.

    Example:
        >>> class_recall(torch.tensor([3, 0]), torch.tensor([4, 0]))
        tensor([0.7500,    nan], dtype=torch.float64)
    """
    return hits.double() / images


def class_precision(hits: Tensor, taken: Tensor) -> Tensor:
    r"""Return the fraction of correct images among those predicted as each class.

    .. math:: p_i = h_i / m_i

    Args:
        hits: correctly predicted images of each class, (K,).
        taken: images that are predicted as each class, (K,).

    Returns:
        (K,), float64, in [0, 1]; NaN for a class that is never predicted.

    Example:
        >>> class_precision(torch.tensor([3, 0]), torch.tensor([4, 0]))
        tensor([0.7500,    nan], dtype=torch.float64)
    """
    return hits.double() / taken


def macro_f1(hits: Tensor, images: Tensor, taken: Tensor) -> Tensor:
    r"""The mean over classes of the harmonic mean of precision and recall.

    .. math:: \frac{1}{|S|} \sum_{i \in S} \frac{2 h_i}{n_i + m_i}, \quad
        S = \text{classes that have images or are predicted}

    Equal to scikit-learn's ``f1_score(average="macro")``: a class with images but no predictions, or the other way
    round, counts as 0.

    Args:
        hits: correctly predicted images of each class, (K,).
        images: images of each class, (K,), not all 0.
        taken: images that are predicted as each class, (K,).

    Returns:
        A scalar, float64, in [0, 1].

    Example:
        >>> macro_f1(torch.tensor([3, 0, 0]), torch.tensor([3, 1, 0]), torch.tensor([4, 0, 0]))
        tensor(0.4286, dtype=torch.float64)
    """
    return (2 * hits.double() / (taken + images)).nanmean()


def geometric_mean(recall: Tensor, correction: float = 0.0) -> Tensor:
    r"""The geometric mean of the classes' recalls.

    .. math:: \Big( \prod_{i=1}^{K} \max(r_i, c) \Big)^{1 / K}

    One class with recall 0 makes it 0, which is common on long tails; a correction above 0, usually 0.001, replaces
    such recalls. Values with different corrections are not comparable.

    Args:
        recall: recall of each class, (K,); NaN is left out.
        correction: c, the lower bound of recalls, in [0, 1].

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
        recall: recall of each class, (K,); NaN is left out.
        classes: labels of the classes.

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
