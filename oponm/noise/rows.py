"""Which rows of a batch noise falls on."""

from __future__ import annotations

import torch
from torch import Tensor

from oponm.errors import InputError


def choose_rows(images: Tensor, targets: Tensor, probability: Tensor, generator: torch.Generator) -> Tensor:
    """Choose each row independently, with its class's probability.

    Args:
        images: (N, C, H, W), floating point in [0, 1]; only looked at.
        targets: (N,), int64.
        probability: of each class, (K,).
        generator: source of all randomness; N draws, on its own device.

    Returns:
        (N,), bool, on the device of ``images``.

    Raises:
        InputError: if the images are integers, as noise in [0, 1] would be black among them.

    Example:
        >>> source = torch.Generator().manual_seed(0)
        >>> choose_rows(torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 0]), torch.tensor([0.0, 1.0]), source)
        tensor([False,  True, False])
    """
    if not images.is_floating_point():
        raise InputError(f"must be floating point in [0, 1], got {images.dtype}: divide by 255", "images")
    uniform = torch.rand(len(targets), generator=generator, device=generator.device).to(images.device)
    return uniform < probability.to(images.device)[targets]
