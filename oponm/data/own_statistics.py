"""Measures the color statistics of a training set, in memory or streamed."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from oponm.data.loader import Loader
from oponm.data.pipeline import RawBatch, ResidentImages
from oponm.data.progress import track
from oponm.data.samplers import IndexBatch
from oponm.data.statistics import Statistics, channel_statistics, class_statistics, statistics_sample
from oponm.data.stream import ImageSet, StreamedImages


def measure(images: ImageSet, batch_size: int = 128, num_workers: int = 0) -> Statistics:
    """Measure the statistics of all images in memory, or of the center squares of a sample of streamed images.

    Args:
        images: the training set.
        batch_size: images that are read at once.
        num_workers: processes that read them.

    Example:
        >>> measure(ResidentImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])))
        Statistics(mean=(0.0,), std=(0.0,))
    """
    if isinstance(images, ResidentImages):
        return channel_statistics(images.images)
    read = _uncropped(images, statistics_sample(len(images)), batch_size, num_workers, "colors")
    return channel_statistics(raw.images for raw in read)


def measure_classes(
    images: ImageSet, num_classes: int, batch_size: int = 128, num_workers: int = 0
) -> list[Statistics]:
    """Measure the statistics of each class, from all its images.

    Args:
        images: the training set.
        num_classes: K.
        batch_size: images that are read at once.
        num_workers: processes that read them.
    """
    batches: Iterable[tuple[Tensor, Tensor]]
    if isinstance(images, ResidentImages):
        batches = [(images.images, images.targets)]
    else:
        everything = torch.arange(len(images))
        read = _uncropped(images, everything, batch_size, num_workers, "colors of classes")
        batches = (raw[:2] for raw in read)
    return class_statistics(batches, num_classes)


def measured_on(images: ImageSet) -> str:
    """The images that :func:`measure` uses, in words.

    Example:
        >>> measured_on(ResidentImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])))
        'own'
    """
    number = len(images)
    sample = number if isinstance(images, ResidentImages) else len(statistics_sample(number))
    return "own" if sample == number else f"own (of {sample:,} of the {number:,} training images, drawn by seed 0)"


def _uncropped(
    images: StreamedImages, indices: Tensor, batch_size: int, num_workers: int, title: str
) -> Iterable[RawBatch]:
    """Read training images as in evaluation, independent of any seed."""
    images = copy.copy(images)
    images.training = False
    batches = [IndexBatch(part, epoch=0, step=step) for step, part in enumerate(indices.split(batch_size))]
    return track(Loader(images, num_workers).over(batches), len(batches), f"measuring {title}")
