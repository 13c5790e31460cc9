"""Appends noise images to a full batch of natural images, for balanced data."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from oponm.errors import check_choice, check_int, check_real
from oponm.noise.batch import Batch
from oponm.noise.ramp import RAMPS, ramp_factor
from oponm.noise.rows import check_targets


class AppendNoise(nn.Module):
    """Append noise images with labels drawn uniformly over the classes.

    Args:
        ratio: noise images per natural image, at least 0; the paper's balanced runs use 1/4 (128 -> 160 rows).
        num_classes: number of classes C.
        noise: draws the noise images, e.g. :class:`~oponm.noise.GaussianNoise`.
        ramp: ``"constant"``, as the paper does; or ``"linear"``, which starts a phase without noise rows and ends it
            with all of them.

    Raises:
        InputError: for a value out of range.

    References:
        Zada, Benou, Irani, ICML 2022, Sec. 5.

    Example:
        >>> from oponm.noise import GaussianNoise
        >>> append = AppendNoise(0.25, num_classes=10, noise=GaussianNoise([0.5], [0.2]))
        >>> batch = append(torch.zeros(4, 1, 8, 8), torch.arange(4), torch.Generator().manual_seed(0))
        >>> batch.is_noise
        tensor([False, False, False, False,  True])
    """

    def __init__(self, ratio: float, num_classes: int, noise: Callable[..., Tensor], ramp: str = "constant") -> None:
        super().__init__()
        self.ratio = check_real("ratio", ratio, 0)
        self.num_classes = check_int("num_classes", num_classes, minimum=1)
        self.noise, self.ramp = noise, check_choice("ramp", ramp, RAMPS)

    def forward(self, images: Tensor, targets: Tensor, generator: torch.Generator, progress: float = 1.0) -> Batch:
        """Append ``round(ratio * N)`` noise rows to a batch, with a linear ramp ``round(ratio * progress * N)``.

        Args:
            images: (N, C, H, W), floating point in [0, 1].
            targets: (N,), int64.
            generator: source of all randomness.
            progress: fraction of the phase that has passed, in [0, 1], for a linear ramp.

        Returns:
            The batch with its natural rows first.

        Raises:
            InputError: for a progress outside [0, 1], or invalid labels.
        """
        check_targets(targets, self.num_classes)
        extra = round(self.ratio * ramp_factor(self.ramp, progress) * len(targets))
        labels = torch.randint(self.num_classes, (extra,), generator=generator, device=generator.device)
        labels = labels.to(targets)
        noise = self.noise(labels, images.shape[1:], generator).to(images.dtype)
        is_noise = torch.arange(len(targets) + extra, device=images.device) >= len(targets)
        return Batch(torch.cat([images, noise]), torch.cat([targets, labels]), is_noise)
