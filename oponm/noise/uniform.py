"""Noise images that know nothing of the training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class UniformNoise(nn.Module):
    r"""Independent pixels, each value of the pixel range equally likely.

    .. math:: x_{chw} \sim \mathcal U[0, 1)

    Mean 1/2 and variance 1/12 in every channel, whatever the data.

    Example:
        >>> images = UniformNoise()(torch.tensor([7, 8]), (3, 32, 32), torch.Generator().manual_seed(0))
        >>> images.shape, bool(images.min() >= 0), bool(images.max() < 1)
        (torch.Size([2, 3, 32, 32]), True, True)
    """

    def forward(self, targets: Tensor, image_shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw one noise image a target.

        Args:
            targets: (N,) labels; this noise takes their number only.
            image_shape: (C, H, W).
            generator: source of all randomness, drawn on its own device.

        Returns:
            (N, C, H, W), float32, on the device of ``targets``.
        """
        images = torch.rand((len(targets), *image_shape), generator=generator, device=generator.device)
        return images.to(targets.device)
