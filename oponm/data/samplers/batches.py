"""The batches of an epoch, as indices, and each process's part of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from oponm.data.samplers.orders import SAMPLERS, sample_order
from oponm.errors import InputError, check_choice, check_real
from oponm.rng import derive_generator


class Part(NamedTuple):
    """One process's part of a batch.

    Attributes:
        start: position in the batch of the part's first image.
        stop: position in the batch after the part's last image.
        weight: factor of the process's mean loss; the average of the products over processes is the mean loss over the
            whole batch.
        counted: whether training metrics include the part; if every process takes the whole batch, only rank 0's
            counts.
    """

    start: int
    stop: int
    weight: float
    counted: bool


def part_of_batch(images: int, rank: int, world_size: int) -> Part:
    """Cut a batch into consecutive parts whose sizes differ by one image at most, and return that of one process.

    A process cannot skip a step, as others would wait for it, and a single image has no batch statistics. So every
    process takes the whole batch if it has fewer than ``2 * world_size`` images. Only the last batch of an epoch may.

    Args:
        images: number of images of the batch.
        rank: rank of the process.
        world_size: number of processes.

    Example:
        >>> [part_of_batch(9, rank, 4)[:2] for rank in range(4)]
        [(0, 3), (3, 5), (5, 7), (7, 9)]
        >>> part_of_batch(9, 0, 4).weight, part_of_batch(9, 1, 4).weight
        (1.333..., 0.888...)
        >>> part_of_batch(7, 3, 4)
        Part(start=0, stop=7, weight=1.0, counted=False)
    """
    if images < 2 * world_size and world_size > 1:
        return Part(0, images, 1.0, rank == 0)
    size, longer = divmod(images, world_size)
    start = rank * size + min(rank, longer)
    stop = start + size + (rank < longer)
    return Part(start, stop, (stop - start) * world_size / images, True)


class IndexBatch(NamedTuple):
    """The images of one step, and the number of the step.

    Attributes:
        indices: indices into the training set, (N,), int64.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
        rank: rank of the process that reads the images, for random draws on reading.
    """

    indices: Tensor
    epoch: int
    step: int
    rank: int = 0


class EpochBatches:
    """The batches of one epoch, as the ``batch_sampler`` of a ``DataLoader``.

    With several processes each takes its part of every batch, see :func:`part_of_batch`: the
    images of a batch, their order, and the number of batches do not depend on the number of processes. The last batch
    may be smaller; a last batch of a single image is left out, as it has no batch statistics.

    Args:
        labels: labels of the training set, (N,), int64.
        batch_size: images per batch, over all processes.
        sampler: a name in :data:`SAMPLERS`, see :func:`~oponm.data.samplers.orders.sample_order`.
        seed: the run's seed.
        epoch: zero-based epoch; with ``seed`` it determines the order.
        progress: fraction of the phase that has passed, in [0, 1], for samplers that change over it.
        rank: rank of this process.
        world_size: number of processes.

    Raises:
        InputError: for an unknown sampler, a progress outside [0, 1], or fewer than two images per process.

    Example:
        >>> import torch
        >>> [len(batch.indices) for batch in EpochBatches(torch.zeros(9).long(), 4, "instance", seed=0, epoch=0)]
        [4, 4]
    """

    def __init__(
        self,
        labels: Tensor,
        batch_size: int,
        sampler: str,
        seed: int,
        epoch: int,
        progress: float = 0.0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sampler = check_choice("sampler", sampler, SAMPLERS)
        self.progress = check_real("progress", progress, 0, 1)
        self.labels, self.batch_size, self.seed, self.epoch = labels, batch_size, seed, epoch
        self.rank, self.world_size = rank, world_size
        if world_size > 1 and batch_size < 2 * world_size:
            raise InputError(
                f"must be at least {2 * world_size}: it counts the images of all {world_size} processes, "
                "and each needs two",
                "batch_size",
            )

    @property
    def steps(self) -> int:
        """Number of batches of the epoch, the same for all processes."""
        full, rest = divmod(len(self.labels), self.batch_size)
        return full + (rest >= min(2, self.batch_size))

    def part(self, step: int) -> Part:
        """This process's part of the batch of a step."""
        images = min(self.batch_size, len(self.labels) - step * self.batch_size)
        return part_of_batch(images, self.rank, self.world_size)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[IndexBatch]:
        # Nothing is kept between epochs: listing ten million images by class takes 0.2 s, keeping the list 38 MiB.
        generator = derive_generator(self.seed, "sampler", self.epoch)
        order = sample_order(self.sampler, self.labels, generator, self.progress)
        for step in range(self.steps):
            first, part = step * self.batch_size, self.part(step)
            yield IndexBatch(order[first + part.start : first + part.stop], self.epoch, step, self.rank)
