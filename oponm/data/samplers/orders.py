"""The order in which an epoch visits the training images: pure functions of (labels, generator, progress)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oponm.data.samplers.classes import class_balanced, effective_number, progressively_balanced, square_root
from oponm.errors import check_choice, check_real

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
    """The images of an epoch in order; an epoch always has the length of the training set.

    Args:
        sampler: ``"instance"``: every image once, in random order. All others draw with replacement, first a class and
            then any image of it: ``"class_balanced"``, ``"square_root"``, ``"progressively_balanced"`` and
            ``"effective_number"``, see the functions of the same names in :mod:`oponm.data.samplers.classes`.
        labels: (N,), int64, every class of ``range(C)`` present.
        generator: a CPU generator.
        progress: share of the phase that has passed, in [0, 1]; only ``"progressively_balanced"`` uses it.

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
        labels: (N,), int64, every class of ``range(C)`` present.
        probabilities: q, (C,), float64, that sum to 1.
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
    """The images of the first class in order, then those of the second, and so on.

    Equal to a stable ``argsort``, but by counting, in pieces and a smaller type, with a fraction of the memory.

    Args:
        labels: (N,), int64.

    Returns:
        N indices, int32, or int64 for more images than that can count.

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
