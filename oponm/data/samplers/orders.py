"""The order in which an epoch visits the training images: pure functions of (labels, generator, progress)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oponm.errors import check_choice, check_real

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
    r"""Draw classes in proportion to the square root of their counts, between class frequencies and uniform.

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
    r"""Move over a phase from the data's class frequencies to equal probabilities of all classes.

    .. math:: q_j = (1 - t) \frac{n_j}{\sum_i n_i} + t \frac{1}{C}

    Args:
        class_counts: training images n of each class, (C,).
        progress: t, the fraction of the phase that has passed: 0 in its first epoch, 1 in its last.

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

    Classes of far fewer than :math:`1 / (1 - \beta)` = 10,000 images are drawn about equally often, as E is about n
    for them; larger classes are drawn more often.

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


CHUNK = 1_000_000  # number of draws of one kind in a row; the order depends on it
PIECE = 100_000  # labels processed at a time, to save memory; the result does not depend on it

# The function from class counts and progress to class probabilities, for each sampler that draws classes.
CLASS_PROBABILITIES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "class_balanced": class_balanced,
    "square_root": square_root,
    "progressively_balanced": progressively_balanced,
    "effective_number": effective_number,
}
SAMPLERS = ("instance", *CLASS_PROBABILITIES)


def sample_order(sampler: str, labels: Tensor, generator: torch.Generator, progress: float = 0.0) -> Tensor:
    """Return the images of an epoch in order; an epoch always has as many as the training set.

    Args:
        sampler: ``"instance"``: every image once, in random order. All others draw with replacement, first a class and
            then an image of it with equal probability: ``"class_balanced"``, ``"square_root"``,
            ``"progressively_balanced"`` and ``"effective_number"``, by the functions of the same names.
        labels: labels, (N,), int64; every class of ``range(C)`` has an image.
        generator: a CPU generator.
        progress: fraction of the phase that has passed, in [0, 1]; only ``"progressively_balanced"`` uses it.

    Returns:
        N indices, int64.

    Raises:
        InputError: for an unknown sampler, or a progress outside [0, 1].

    Example:
        >>> labels = torch.tensor([0] * 900 + [1] * 100)
        >>> for sampler in SAMPLERS:
        ...     order = sample_order(sampler, labels, torch.Generator().manual_seed(0), progress=0.5)
        ...     print(f"{sampler} {labels[order].float().mean():.1f}")
        instance 0.1
        class_balanced 0.5
        square_root 0.2
        progressively_balanced 0.3
        effective_number 0.5
    """
    check_choice("sampler", sampler, SAMPLERS)
    progress = check_real("progress", progress, 0, 1)
    if sampler == "instance":
        return torch.randperm(len(labels), generator=generator)
    return draw_order(labels, CLASS_PROBABILITIES[sampler](torch.bincount(labels), progress), generator)


def draw_order(labels: Tensor, probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """Draw N images with replacement: a class, then an image of that class with equal probability.

    The distribution is that of a weight ``q_j / n_j`` for each image, without a table of weights.

    Args:
        labels: labels, (N,), int64; every class of ``range(C)`` has an image.
        probabilities: q, the probability of each class, (C,), float64; they sum to 1.
        generator: a CPU generator.

    Returns:
        N indices, int64.

    Example:
        >>> labels = torch.tensor([0, 1, 0, 2])
        >>> draw_order(labels, torch.tensor([0.0, 1.0, 0.0]), torch.Generator().manual_seed(0))
        tensor([1, 1, 1, 1])
    """
    counts = torch.bincount(labels)
    table = group_by_class(labels)
    starts = counts.cumsum(0) - counts
    cumulative = probabilities.cumsum(0)
    cumulative /= cumulative[-1].clone()  # exactly 1, above all values of uniform_
    equal = bool((probabilities == probabilities[0]).all())
    order = torch.empty_like(labels)
    uniform = torch.empty(min(CHUNK, len(labels)), dtype=torch.float64)
    for part in order.split(CHUNK):
        draws = uniform[: len(part)]
        if equal:
            torch.randint(len(counts), part.shape, generator=generator, out=part)
        else:
            torch.searchsorted(cumulative, draws.uniform_(generator=generator), right=True, out=part)
        draws.uniform_(generator=generator)
        for classes, within in zip(part.split(PIECE), draws.split(PIECE), strict=True):
            within.mul_(counts[classes])
            classes.copy_(table[starts[classes].add_(within.long())])  # replace classes by images
    return order


def group_by_class(labels: Tensor) -> Tensor:
    """Return the images of the first class in dataset order, then those of the second, and so on.

    The result is that of a stable ``argsort``. It takes a fraction of the memory, by counting, in pieces, and by a
    smaller type.

    Args:
        labels: labels, (N,), int64.

    Returns:
        N indices, int32, or int64 for 2**31 images or more.

    Example:
        >>> group_by_class(torch.tensor([1, 0, 1, 0]))
        tensor([1, 3, 0, 2], dtype=torch.int32)
    """
    counts = torch.bincount(labels)
    free = counts.cumsum(0) - counts  # position of the next image of each class
    table = torch.empty(len(labels), dtype=torch.int32 if len(labels) < 2**31 else torch.int64)
    for number, part in enumerate(labels.split(PIECE)):
        values, order = part.sort(stable=True)
        counts = torch.bincount(values, minlength=len(free))
        ahead = free - (counts.cumsum(0) - counts)  # offset from the position in the sorted piece to that in the table
        places = ahead[values].add_(torch.arange(len(part)))
        table[places] = order.add_(number * PIECE).to(table.dtype)
        free += counts
    return table
