"""A batch that carries its route."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images, their labels, and which of the images are noise.

    Attributes:
        images: (N, C, H, W).
        targets: (N,), int64.
        is_noise: (N,), bool; None where the batch was made without any noise, which costs the network nothing.
        partners: (N,), int64, the second label of images that are mixtures of two; None where nothing was mixed.
        shares: (N,), floating point in [0, 1], the weight of the first label, ``targets``; None with ``partners``.

    Example:
        >>> import torch
        >>> Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])).is_noise is None
        True
    """

    images: Tensor
    targets: Tensor
    is_noise: Tensor | None = None
    partners: Tensor | None = None
    shares: Tensor | None = None
