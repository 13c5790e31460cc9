"""The order in which an epoch visits the training images: pure functions of (labels, generator)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from oponm.errors import check_choice
from oponm.rng import derive_generator

CHUNK = 1_000_000


def instance_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Every image once, in random order.

    Args:
        labels: (N,), int64.
        generator: a CPU generator.

    Returns:
        A permutation of ``range(N)``.

    Example:
        >>> instance_order(torch.tensor([0, 0, 1]), torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2])
    """
    return torch.randperm(len(labels), generator=generator)


def class_balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """N draws with replacement: a class, each equally likely, then an image of that class.

    The same distribution as weights ``1 / n_i`` an image, without a table over images to draw from.

    Args:
        labels: (N,), int64, every class of ``range(C)`` present.
        generator: a CPU generator.

    Returns:
        N indices; an epoch keeps the length of the long-tailed set.

    References:
        Zada, Benou, Irani, ICML 2022, Sec. 3.

    Example:
        >>> labels = torch.tensor([0] * 9 + [1])
        >>> order = class_balanced_order(labels.repeat(100), torch.Generator().manual_seed(0))
        >>> bool(0.4 < labels.repeat(100)[order].float().mean() < 0.6)
        True
    """
    by_class = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    order = torch.empty_like(by_class)
    for part in order.split(CHUNK):  # so that what is needed on the way stays small beside the labels
        classes = torch.randint(len(counts), part.shape, generator=generator)
        within = torch.rand(part.shape, dtype=torch.float64, generator=generator).mul_(counts[classes]).long()
        part.copy_(by_class[starts[classes] + within])
    return order


SAMPLERS = {"instance": instance_order, "class_balanced": class_balanced_order}


class IndexBatch(NamedTuple):
    """The images of one step, and which step it is.

    Attributes:
        indices: (N,), int64.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
    """

    indices: Tensor
    epoch: int
    step: int


class EpochBatches:
    """The batches of one epoch, as the ``batch_sampler`` of a ``DataLoader``.

    The last batch may be smaller; one of a single image is left out, as it has no batch statistics.

    Args:
        labels: (N,), int64.
        batch_size: images a batch.
        sampler: a name in :data:`SAMPLERS`.
        seed: the run's seed.
        epoch: zero-based epoch; with ``seed`` it determines the order.

    Raises:
        InputError: for an unknown sampler.

    Example:
        >>> [len(batch.indices) for batch in EpochBatches(torch.zeros(9).long(), 4, "instance", seed=0, epoch=0)]
        [4, 4]
    """

    def __init__(self, labels: Tensor, batch_size: int, sampler: str, seed: int, epoch: int) -> None:
        check_choice("sampler", sampler, SAMPLERS)
        self.labels, self.batch_size, self.sampler = labels, batch_size, sampler
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        full, rest = divmod(len(self.labels), self.batch_size)
        return full + (rest > 1 or (rest == 1 and self.batch_size == 1))

    def __iter__(self) -> Iterator[IndexBatch]:
        order = SAMPLERS[self.sampler](self.labels, derive_generator(self.seed, "sampler", self.epoch))
        for step in range(len(self)):
            yield IndexBatch(order[step * self.batch_size : (step + 1) * self.batch_size], self.epoch, step)
