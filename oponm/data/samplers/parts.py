"""Divides a batch among several processes."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One process's part of a batch.

    Attributes:
        start: position of its first image.
        stop: position after its last image.
        weight: weight of its mean loss, so that the mean over processes is that over the images of the batch.
        counted: whether training metrics count it; if all take the whole batch, only the first one's is.
    """

    start: int
    stop: int
    weight: float
    counted: bool


def part_of_batch(images: int, rank: int, world_size: int) -> Part:
    """Cut a batch into consecutive parts whose sizes differ by one image at most.

    A process cannot skip a step, as others would wait for it, and a single image has no batch statistics. So a batch
    of fewer than two images per process, which only the last of an epoch may be, is taken whole by all processes.

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
