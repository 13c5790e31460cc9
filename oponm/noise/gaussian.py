"""Noise images with the color statistics of the training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oponm.errors import InputError


class GaussianNoise(nn.Module):
    r"""Independent Gaussian pixels, one mean and standard deviation per color channel.

    .. math:: x_{chw} \sim \mathcal N(\mu_c, \sigma_c^2), \text{ clipped to } [0, 1]

    Images are drawn in pixel space, before the network's input normalization.

    Args:
        mean: mean of each channel over all pixels of the training images, in [0, 1]; if ``clip`` is False any number,
            for images in other units.
        std: standard deviation of each channel, at least 0.
        clip: whether to clip to [0, 1], as the paper does.

    Raises:
        InputError: if ``mean`` and ``std`` differ in length, if a value is not finite or a deviation negative, or for a
            mean outside [0, 1] if ``clip`` is True.

    References:
        Zada, Benou, Irani, ICML 2022, Sec. 3.

    Example:
        >>> noise = GaussianNoise([0.5, 0.5, 0.5], [0.2, 0.2, 0.2])
        >>> images = noise(torch.tensor([7, 8]), (3, 32, 32), torch.Generator().manual_seed(0))
        >>> images.shape, bool(images.min() >= 0)
        (torch.Size([2, 3, 32, 32]), True)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor, clip: bool = True) -> None:
        super().__init__()
        mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)
        std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
        if mean.shape != std.shape or not bool((std >= 0).all() and std.isfinite().all() and mean.isfinite().all()):
            raise InputError(
                f"must have one value per channel, like mean, and no value below 0; got {std.flatten().tolist()}, and "
                f"mean {mean.flatten().tolist()}",
                "std",
            )
        check_mean(mean, clip)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.clip = clip

    def forward(self, targets: Tensor, image_shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Draw one noise image per target.

        Args:
            targets: (N,) labels; this noise uses only their number, other noise may use the classes.
            image_shape: (C, H, W).
            generator: source of all randomness. It draws on its own device, so a CPU generator gives the same images
                for any device of ``targets``.

        Returns:
            (N, C, H, W), float32, on the device of ``targets``.

        Raises:
            InputError: if the images have another number of channels than the statistics.
        """
        if image_shape[0] != len(self.mean):
            raise InputError(f"has {len(self.mean)} channels, the images have {image_shape[0]}", "mean")
        unit = self._unit((len(targets), *image_shape), generator, targets.device)
        images = self.mean.to(targets.device) + unit * self.std.to(targets.device)
        return images.clamp_(0, 1) if self.clip else images

    def _unit(self, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
        """Images of mean 0 and variance 1."""
        return torch.randn(shape, generator=generator, device=generator.device).to(device)


def check_mean(mean: Tensor, clip: bool) -> None:
    """Check that the mean of noise lies in [0, 1] if images are clipped; else clipping would leave a single color.

    Args:
        mean: means of the noise, in any shape.
        clip: whether images are clipped to [0, 1].

    Raises:
        InputError: for a mean outside [0, 1] if ``clip`` is True.

    Example:
        >>> check_mean(torch.tensor([125.3, 123.0, 113.9]), clip=False)
    """
    if clip and not bool(((mean >= 0) & (mean <= 1)).all()):
        raise InputError(
            f"must lie in [0, 1], as images do (values up to 255 divided by 255), unless clip is false; got "
            f"{mean.squeeze().tolist()}",
            "mean",
        )
