"""Colour statistics of a training set."""

from __future__ import annotations

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


def channel_statistics(images: Tensor) -> Statistics:
    """Exact statistics, by counting how often each of the 256 values occurs.

    Args:
        images: (N, C, H, W), uint8.

    Example:
        >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
        Statistics(mean=(0.5,), std=(0.5,))
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * values).sum()
        means.append(mean.item())
        stds.append((share * (values - mean).square()).sum().sqrt().item())
    return Statistics(tuple(means), tuple(stds))
