"""Colour statistics of a training set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


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


def channel_statistics(images: Tensor | Iterable[Tensor]) -> Statistics:
    """Exact statistics, by counting how often each of the 256 values occurs.

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
    values = torch.arange(256, dtype=torch.float64, device=counts.device) / 255
    means, stds = [], []
    for channel in counts:
        share = channel.double() / channel.sum()
        mean = (share * values).sum()
        means.append(mean.item())
        stds.append((share * (values - mean).square()).sum().sqrt().item())
    return Statistics(tuple(means), tuple(stds))
