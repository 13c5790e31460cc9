"""Noise images with the color statistics of their own class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.noise.gaussian import check_mean
from oponm.noise.rows import check_targets


class ClassGaussianNoise(nn.Module):
    r"""Independent Gaussian pixels, one mean and standard deviation per class and color channel.

    .. math:: x_{chw} \sim \mathcal N(\mu_{yc}, \sigma_{yc}^2), \text{ clipped to } [0, 1]

    for a row of label y. A network can separate such rows by color, which is impossible with one mean for all.

    Args:
        mean: mean of each channel over all pixels of a class's training images, (K, C) for K classes.
        std: standard deviations, (K, C), at least 0.
        clip: whether to clip to [0, 1].

    Raises:
        InputError: if the two are not tables of one size, or a deviation is negative.

    Example:
        >>> noise = ClassGaussianNoise([[0.1], [0.9]], [[0.0], [0.0]])
        >>> noise(torch.tensor([1, 0]), (1, 8, 8), torch.Generator().manual_seed(0))[:, 0, 0, 0]
        tensor([0.9000, 0.1000])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[Sequence[float]] | Tensor, std: Sequence[Sequence[float]] | Tensor, clip: bool = True
    ) -> None:
        super().__init__()
        mean, std = (torch.as_tensor(table, dtype=torch.float32) for table in (mean, std))
        valid = mean.ndim == 2 and mean.shape == std.shape
        if not valid or not bool((std >= 0).all() and std.isfinite().all() and mean.isfinite().all()):
            raise InputError(
                "must have one row per class and one value per channel, like mean, and no value below 0; got "
                f"{std.tolist()}, and mean {mean.tolist()}",
                "std",
            )
        check_mean(mean, clip)
        self.register_buffer("mean", mean[:, :, None, None], persistent=False)
        self.register_buffer("std", std[:, :, None, None], persistent=False)
        self.clip = clip

    def forward(self, targets: Tensor, image_shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw one noise image per target.

        Args:
            targets: (N,), int64, below K.
            image_shape: (C, H, W).
            generator: source of all randomness, drawn on its own device.

        Returns:
            (N, C, H, W), float32, on the device of ``targets``.

        Raises:
            InputError: if the images have another number of channels than the statistics, or for an unknown label.
        """
        if image_shape[0] != self.mean.shape[1]:
            raise InputError(f"has {self.mean.shape[1]} channels, the images have {image_shape[0]}", "mean")
        check_targets(targets, len(self.mean))
        unit = torch.randn((len(targets), *image_shape), generator=generator, device=generator.device)
        mean, std = (table.to(targets.device)[targets] for table in (self.mean, self.std))
        images = mean + unit.to(targets.device) * std
        return images.clamp_(0, 1) if self.clip else images
