"""The batches of an epoch, as indices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from oponm.data.samplers.orders import SAMPLERS, sample_order
from oponm.data.samplers.parts import Part, part_of_batch
from oponm.errors import InputError, check_choice, check_real
from oponm.rng import derive_generator


class IndexBatch(NamedTuple):
    """The images of one step, and which step it is.

    Attributes:
        indices: (N,), int64.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
        rank: of the process whose part of the batch it is, for what is drawn when images are read.
    """

    indices: Tensor
    epoch: int
    step: int
    rank: int = 0


class EpochBatches:
    """The batches of one epoch, as the ``batch_sampler`` of a ``DataLoader``.

    Of several processes each takes its part of every batch, see :func:`~oponm.data.samplers.parts.part_of_batch`: which
    images make a batch, their order, and the number of batches do not depend on the number of processes. The last batch
    may be smaller; it is left out if it would hold a single image, as that has no batch statistics.

    Args:
        labels: (N,), int64.
        batch_size: images a batch, over all processes.
        sampler: a name in :data:`SAMPLERS`, see :func:`~oponm.data.samplers.orders.sample_order`.
        seed: the run's seed.
        epoch: zero-based epoch; with ``seed`` it determines the order.
        progress: share of the phase that has passed, in [0, 1], for samplers that change over it.
        rank: of this process.
        world_size: number of processes.

    Raises:
        InputError: for an unknown sampler, a progress outside [0, 1], or fewer than two images a process.

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
                f"must be at least {2 * world_size}, two images a process, as it is that of all {world_size} processes",
                "batch_size",
            )

    @property
    def steps(self) -> int:
        """Batches of the whole epoch."""
        full, rest = divmod(len(self.labels), self.batch_size)
        return full + (rest >= min(2, self.batch_size))

    def part(self, step: int) -> Part:
        """What this process takes of the batch of a step."""
        images = min(self.batch_size, len(self.labels) - step * self.batch_size)
        return part_of_batch(images, self.rank, self.world_size)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[IndexBatch]:
        # Nothing is kept between epochs: to list the images by class takes 0.2 s for ten million, and 38 MiB to keep.
        generator = derive_generator(self.seed, "sampler", self.epoch)
        order = sample_order(self.sampler, self.labels, generator, self.progress)
        for step in range(self.steps):
            first, part = step * self.batch_size, self.part(step)
            yield IndexBatch(order[first + part.start : first + part.stop], self.epoch, step, self.rank)
