"""From the choices under ``noise`` and the statistics of a training set to what mixes noise into its batches."""

from __future__ import annotations

from collections.abc import Sequence

from oponm.data.statistics import Statistics
from oponm.errors import InputError
from oponm.noise import GaussianNoise, ReplaceWithNoise


def replace_with_gaussian(
    statistics: Statistics, class_counts: Sequence[int], delta: float = 1 / 3, clip: bool = True
) -> ReplaceWithNoise:
    """OPeN as published: Gaussian noise with the training set's colour statistics in place of images of rare classes.

    Args:
        statistics: of the training images.
        class_counts: training images of each class.
        delta: see :func:`~oponm.noise.noise_probability`.
        clip: clip the noise to the pixel range.

    Raises:
        InputError: for a delta outside [0, 1], or a clip that is no boolean.

    Example:
        >>> replace_with_gaussian(Statistics((0.5,), (0.2,)), [10, 5]).probability
        tensor([0.0000, 0.1667])
    """
    if not isinstance(clip, bool):
        raise InputError(f"must be true or false, got {clip!r}", "clip")
    return ReplaceWithNoise(class_counts, delta, GaussianNoise(statistics.mean, statistics.std, clip))
