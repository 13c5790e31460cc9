"""Adds noise to images of rare classes: a control experiment for replacing them by noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oponm.errors import check_choice
from oponm.noise.batch import Batch
from oponm.noise.gaussian import GaussianNoise
from oponm.noise.probability import noise_probability
from oponm.noise.ramp import RAMPS, ramp_factor
from oponm.noise.rows import choose_rows


class AddNoise(nn.Module):
    r"""Add Gaussian noise to each image, independently, with its class's probability.

    .. math:: x' = \text{clip}(x + \varepsilon), \quad \varepsilon_{chw} \sim \mathcal N(0, \sigma_c^2)

    It acts like :class:`~oponm.noise.ReplaceWithNoise`, but keeps the image and adds the noise to it. With the same
    ``delta``, ``std`` and generator, it chooses the same rows, and the noise has the same standard deviation. The rows
    are still natural images, so ``is_noise`` is None and batch norm treats them like all others.

    Args:
        class_counts: training images of each class, length C.
        delta: upper limit of the probability, in [0, 1], see :func:`~oponm.noise.noise_probability`.
        std: standard deviation of each channel, at least 0.
        clip: whether to clip the sum to [0, 1].
        ramp: ``"constant"`` or ``"linear"``, see :class:`~oponm.noise.ReplaceWithNoise`.

    Raises:
        InputError: for a value out of range.

    References:
        Zada, Benou, Irani, ICML 2022, who distinguish pure noise images from the usual additive noise.

    Example:
        >>> add = AddNoise([100, 1], delta=1.0, std=[0.2])
        >>> batch = add(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), torch.Generator().manual_seed(0))
        >>> batch.images.amax((1, 2, 3)) > 0, batch.is_noise
        (tensor([False,  True, False,  True]), None)
    """

    probability: Tensor

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        delta: float,
        std: Sequence[float] | Tensor,
        clip: bool = True,
        ramp: str = "constant",
    ) -> None:
        super().__init__()
        self.register_buffer("probability", noise_probability(class_counts, delta), persistent=False)
        self.noise = GaussianNoise([0.0] * len(std), std, clip=False)
        self.clip, self.ramp = clip, check_choice("ramp", ramp, RAMPS)

    def forward(self, images: Tensor, targets: Tensor, generator: torch.Generator, progress: float = 1.0) -> Batch:
        """Add noise to some rows of a batch.

        Args:
            images: (N, C, H, W), floating point in [0, 1].
            targets: (N,), int64.
            generator: source of all randomness.
            progress: fraction of the phase that has passed, in [0, 1], for a linear ramp.

        Returns:
            The batch, without ``is_noise``; ``images`` itself is not changed.

        Raises:
            InputError: if the images are integers or a label belongs to no class, or for a progress outside [0, 1].
        """
        probability = self.probability * ramp_factor(self.ramp, progress)
        chosen = choose_rows(images, targets, probability, generator)
        noisy = images + self.noise(targets, images.shape[1:], generator).to(images.dtype)
        noisy = noisy.clamp_(0, 1) if self.clip else noisy
        return Batch(torch.where(chosen[:, None, None, None], noisy, images), targets)
