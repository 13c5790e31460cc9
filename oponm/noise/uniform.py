"""Noise images that do not depend on the training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class UniformNoise(nn.Module):
    r"""Independent pixels, uniform over the pixel range.

    .. math:: x_{chw} \sim \mathcal U[0, 1)

    Mean is 1/2 and variance 1/12 in every channel, for any data.

    Example:
        >>> images = UniformNoise()(torch.tensor([7, 8]), (3, 32, 32), torch.Generator().manual_seed(0))
        >>> images.shape, bool(images.min() >= 0), bool(images.max() < 1)
        (torch.Size([2, 3, 32, 32]), True, True)
    """

    def forward(self, targets: Tensor, image_shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw one noise image per target.

        Args:
            targets: (N,) labels; this noise uses only their number.
            image_shape: (C, H, W).
            generator: source of all randomness, drawn on its own device.

        Returns:
            (N, C, H, W), float32, on the device of ``targets``.
        """
        images = torch.rand((len(targets), *image_shape), generator=generator, device=generator.device)
        return images.to(targets.device)
