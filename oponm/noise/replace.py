"""OPeN: replaces some images of rare classes by noise and keeps their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from oponm.errors import check_choice
from oponm.noise.batch import Batch
from oponm.noise.probability import noise_probability
from oponm.noise.ramp import RAMPS, ramp_factor
from oponm.noise.rows import choose_rows

LABELS = ("class", "uniform")


class ReplaceWithNoise(nn.Module):
    r"""Replace each image by noise, independently, with its class's probability.

    .. math:: p_i = (1 - n_i / n_{max}) \cdot \delta \cdot r

    with r = 1 for a constant ramp; for a linear one, r is the share of the phase that has passed. It is meant for
    class-balanced batches. Batch size and labels stay the same.

    Args:
        class_counts: training images of each class, length C.
        delta: upper limit of the probability, in [0, 1], see :func:`~oponm.noise.noise_probability`.
        noise: draws the noise images, e.g. :class:`~oponm.noise.GaussianNoise`.
        ramp: ``"constant"``, as the paper does; or ``"linear"``, which starts a phase without noise and ends it with
            all of it.
        labels: labels of noise rows. ``"class"``, as the paper does: that of the replaced image. ``"uniform"``: any
            class with equal probability, a control that keeps the noise and removes the information in its labels;
            noise that depends on the class still follows the replaced image.

    Raises:
        InputError: for a value out of range.

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

    def __init__(
        self,
        class_counts: Sequence[int] | Tensor,
        delta: float,
        noise: Callable[..., Tensor],
        ramp: str = "constant",
        labels: str = "class",
    ) -> None:
        super().__init__()
        self.register_buffer("probability", noise_probability(class_counts, delta), persistent=False)
        self.noise = noise
        self.ramp, self.labels = check_choice("ramp", ramp, RAMPS), check_choice("labels", labels, LABELS)

    def forward(self, images: Tensor, targets: Tensor, generator: torch.Generator, progress: float = 1.0) -> Batch:
        """Mix noise into a batch.

        Args:
            images: (N, C, H, W), floating point in [0, 1].
            targets: (N,), int64.
            generator: source of all randomness.
            progress: fraction of the phase that has passed, in [0, 1], for a linear ramp.

        Returns:
            The batch with ``is_noise``; ``images`` and ``targets`` themselves are not changed.

        Raises:
            InputError: if the images are integers or a label belongs to no class, or for a progress outside [0, 1].
        """
        probability = self.probability * ramp_factor(self.ramp, progress)
        is_noise = choose_rows(images, targets, probability, generator)
        noise = self.noise(targets, images.shape[1:], generator).to(images.dtype)
        if self.labels == "uniform":  # drawn last: rows and noise images are those of labels="class"
            any_class = torch.randint(len(probability), targets.shape, generator=generator, device=generator.device)
            targets = torch.where(is_noise, any_class.to(targets), targets)
        return Batch(torch.where(is_noise[:, None, None, None], noise, images), targets, is_noise)
