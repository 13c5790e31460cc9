"""OPeN: some images of rare classes become noise and keep their label."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.noise.batch import Batch
from oponm.noise.probability import noise_probability


class ReplaceWithNoise(nn.Module):
    """Replace each image by noise, independently, with its class's probability.

    To be used on class-balanced batches; the label stays and the batch size is unchanged.

    Args:
        class_counts: training images of each class, length C.
        delta: see :func:`~oponm.noise.noise_probability`.
        noise: draws the noise images, e.g. :class:`~oponm.noise.GaussianNoise`.

    References:
        Zada, Benou, Irani, "Pure Noise to the Rescue of Insufficient Data", ICML 2022, Algorithm 1.

    Example:
        >>> from oponm.noise import GaussianNoise
        >>> replace = ReplaceWithNoise([100, 1], delta=1.0, noise=GaussianNoise([0.5], [0.2]))
        >>> batch = replace(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), torch.Generator().manual_seed(0))
        >>> batch.is_noise
        tensor([False,  True, False,  True])
    """

    probability: Tensor

    def __init__(self, class_counts: Sequence[int] | Tensor, delta: float, noise: Callable[..., Tensor]) -> None:
        super().__init__()
        self.register_buffer("probability", noise_probability(class_counts, delta), persistent=False)
        self.noise = noise

    def forward(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
        """Mix noise into a batch.

        Args:
            images: (N, C, H, W), floating point in [0, 1].
            targets: (N,), int64.
            generator: source of all randomness.

        Returns:
            The batch with ``is_noise``; ``images`` itself is left as it was.

        Raises:
            InputError: if the images are integers.
        """
        if not images.is_floating_point():
            raise InputError(f"must be floating point in [0, 1], got {images.dtype}: divide by 255", "images")
        uniform = torch.rand(len(targets), generator=generator, device=generator.device).to(images.device)
        is_noise = uniform < self.probability.to(images.device)[targets]
        noise = self.noise(targets, images.shape[1:], generator).to(images.dtype)
        return Batch(torch.where(is_noise[:, None, None, None], noise, images), targets, is_noise)
