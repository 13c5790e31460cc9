"""Color statistics of a training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from oponm.errors import InputError, check_choice, check_real

CHUNK = 4_000_000
SAMPLE = 10_000  # number of images for the statistics of sets too large for memory


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel over all pixels, in units of the [0, 1] pixel range.

    Attributes:
        mean: C values.
        std: C values.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


PUBLISHED = {
    "cifar10": Statistics((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Statistics((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def check_statistics(value: Any) -> str | Statistics:
    """Check the value of the key ``statistics``, and return it as a name or as values.

    Args:
        value: ``"own"``, a key of :data:`PUBLISHED`, or values: :class:`Statistics`, or a mapping with ``mean`` and
            ``std``, each a list of one value per channel.

    Returns:
        The name (str), or the values.

    Raises:
        InputError: if it is none of these.

    Example:
        >>> check_statistics("own"), check_statistics({"mean": [0.5], "std": [0.25]})
        ('own', Statistics(mean=(0.5,), std=(0.25,)))
    """
    given = value._asdict() if isinstance(value, Statistics) else value
    if not isinstance(given, Mapping):
        return check_choice("statistics", given, ("own", *PUBLISHED))
    if set(given) != {"mean", "std"}:
        raise InputError(f"must have mean and std, got {', '.join(map(str, given)) or 'neither'}", "statistics")
    numbers = {}
    for name, low in (("mean", 0), ("std", 1e-6)):
        listed = given[name] if isinstance(given[name], Sequence) else [given[name]]
        numbers[name] = tuple(check_real("statistics", each, low, 1) for each in listed)
    if len(numbers["mean"]) != len(numbers["std"]):
        raise InputError("must have as many values of mean as of std, one per channel", "statistics")
    return Statistics(**numbers)


def chosen_statistics(choice: str | Statistics, image_shape: Sequence[int]) -> Statistics:
    """Return published or given statistics, such as those that a pretrained network was trained with.

    Args:
        choice: a key of :data:`PUBLISHED`, or values, which are returned.
        image_shape: (C, H, W) of the images.

    Raises:
        InputError: if the images have another number of channels.

    Example:
        >>> chosen_statistics("imagenet", (3, 224, 224)).mean
        (0.485, 0.456, 0.406)
    """
    statistics = PUBLISHED[choice] if isinstance(choice, str) else choice
    if len(statistics.mean) != image_shape[0]:
        raise InputError(
            f"are for {len(statistics.mean)} channels, but images have {image_shape[0]}: take own", "statistics"
        )
    return statistics


def channel_statistics(images: Tensor | Iterable[Tensor]) -> Statistics:
    """Compute exact statistics, by counting how often each of the 256 values occurs.

    Args:
        images: (N, C, H, W), uint8, or several such batches.

    Example:
        >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
        Statistics(mean=(0.5,), std=(0.5,))
    """
    batches = [images] if isinstance(images, Tensor) else images
    # (C, 256)
    counts: Tensor = sum(
        torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in batch.unbind(1)])
        for batch in batches
    )  # type: ignore[assignment]
    return _summary(counts)


def statistics_sample(num_images: int) -> Tensor:
    """Choose the images that the statistics of a streamed set are measured on: all, or 10,000 drawn by seed 0.

    The means of photographs differ by about 0.15 from one to the next, so the mean of the sample differs by about
    0.0015 from the set's.

    Returns:
        Indices in ascending order, int64.

    Example:
        >>> statistics_sample(3), len(statistics_sample(1_000_000))
        (tensor([0, 1, 2]), 10000)
    """
    return torch.from_numpy(np.sort(np.random.RandomState(0).permutation(num_images)[:SAMPLE]))


def class_statistics(batches: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> list[Statistics]:
    """Compute exact statistics of each class, by counting as :func:`channel_statistics` does.

    Memory beyond the images: a table of (K, C, 256) counts, and one of indices into it for CHUNK pixels at a time.

    Args:
        batches: (N, C, H, W), uint8, with (N,) labels, int64; a set in memory is one such batch.
        num_classes: K.

    Returns:
        The statistics of classes 0 to K - 1.

    Raises:
        InputError: for a class without an image.

    Example:
        >>> images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1, 1)
        >>> class_statistics([(images, torch.tensor([0, 0, 1]))], num_classes=2)
        [Statistics(mean=(0.5,), std=(0.5,)), Statistics(mean=(0.2,), std=(0.0,))]
    """
    counts: Tensor | None = None  # (K * C * 256)
    for images, targets in batches:
        channels = images.shape[1]
        rows = max(1, CHUNK // images.shape[1:].numel())
        for part, labels in zip(images.split(rows), targets.to(images.device).split(rows), strict=True):
            first = 256 * (labels[:, None] * channels + torch.arange(channels, device=part.device))  # (N, C)
            found = torch.bincount((first[:, :, None, None] + part).flatten(), minlength=num_classes * channels * 256)
            counts = found if counts is None else counts.add_(found)
    tables = torch.zeros(num_classes, 1, 256) if counts is None else counts.cpu().view(num_classes, -1, 256)
    if missing := (tables[:, 0].sum(1) == 0).nonzero().flatten().tolist():
        raise InputError(f"class {missing[0]} has no image to measure the mean and standard deviation of")
    return [_summary(table) for table in tables]


def _summary(counts: Tensor) -> Statistics:
    """Mean and standard deviation from the counts of each value, (C, 256)."""
    values = torch.arange(256, dtype=torch.float64, device=counts.device) / 255
    means, stds = [], []
    for channel in counts:
        share = channel.double() / channel.sum()
        mean = (share * values).sum()
        means.append(mean.item())
        stds.append((share * (values - mean).square()).sum().sqrt().item())
    return Statistics(tuple(means), tuple(stds))
