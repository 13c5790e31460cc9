"""Noise transforms, which put noise images (see :mod:`oponm.noise`) into the batches of a training set.

A transform is made from the keys of the config group ``noise`` when the set's statistics and class counts are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oponm.data.statistics import Statistics
from oponm.errors import InputError, check_choice
from oponm.noise import (
    AddNoise,
    AppendNoise,
    ClassGaussianNoise,
    GaussianNoise,
    ReplaceWithNoise,
    SpectrumNoise,
    UniformNoise,
)

# Function that makes a noise transform, from the statistics and the class counts of a training set, and a function
# that returns the statistics of each class.
NoiseFactory = Callable[[Statistics, list[int], Callable[[], list[Statistics]]], nn.Module | None]
DELTA, RATIO = 1 / 3, 1 / 4  # the paper's
DISTRIBUTIONS = ("gaussian", "uniform", "class_gaussian", "spectrum")
MODES = ("replace", "append", "add")
# Modes and distributions that use an option; with any other it would be ignored.
_MODES_OF = {"delta": ("replace", "add"), "ratio": ("append",), "labels": ("replace",), "mean": ("replace", "append")}
_COLORED = ("gaussian", "class_gaussian", "spectrum")
_DISTRIBUTIONS_OF = {"mean": _COLORED, "std": _COLORED, "clip": _COLORED, "exponent": ("spectrum",)}


def make_noise(
    statistics: Statistics,
    class_counts: Sequence[int],
    class_statistics: Callable[[], Sequence[Statistics]],
    distribution: str = "gaussian",
    mode: str = "replace",
    delta: float | None = None,
    ratio: float | None = None,
    ramp: str = "constant",
    labels: str | None = None,
    mean: Sequence[Any] | None = None,
    std: Sequence[Any] | None = None,
    clip: bool | None = None,
    exponent: float | None = None,
) -> nn.Module:
    """Make the noise transform of a training set; by default OPeN as published.

    Options that the mode or the distribution does not use must be None.

    Args:
        statistics: statistics of the training images, even if others are used for normalization.
        class_counts: training images of each class, length K.
        class_statistics: function without arguments that returns the statistics of each class; called for
            ``"class_gaussian"`` only, as it reads the whole training set.
        distribution: the distribution of noise images. ``"gaussian"``: :class:`~oponm.noise.GaussianNoise`.
            ``"uniform"``: :class:`~oponm.noise.UniformNoise`. ``"class_gaussian"``:
            :class:`~oponm.noise.ClassGaussianNoise`. ``"spectrum"``: :class:`~oponm.noise.SpectrumNoise`.
        mode: how noise enters a batch. ``"replace"``: noise images take the place of some images of rare classes,
            :class:`~oponm.noise.ReplaceWithNoise`. ``"append"``: noise images are added to the batch,
            :class:`~oponm.noise.AppendNoise`. ``"add"``: noise is added to the pixels of some images of rare classes,
            :class:`~oponm.noise.AddNoise`; for ``"gaussian"`` only.
        delta: upper limit of the probability that an image gets noise, for ``"replace"`` and ``"add"``, see
            :func:`~oponm.noise.noise_probability`; None is 1/3.
        ratio: noise images per natural image, for ``"append"``; None is 1/4.
        ramp: amount of noise over a phase: ``"constant"``, or ``"linear"`` from none to the full amount.
        labels: labels of noise images, for ``"replace"``: ``"class"``, that of the image in whose place they are, or
            ``"uniform"``, a random one; None is ``"class"``.
        mean: mean of each channel, (C,), or for ``"class_gaussian"`` of each class and channel, (K, C), in [0, 1]; None
            takes those of the statistics.
        std: standard deviations, in the same form as ``mean``.
        clip: whether to clip noise to the pixel range [0, 1]; None is True.
        exponent: exponent of the amplitude spectrum, for ``"spectrum"``; None is 1.

    Raises:
        InputError: for a value out of range, or an option that would be ignored.

    Example:
        >>> make_noise(Statistics((0.5,), (0.2,)), [10, 5], list).probability
        tensor([0.0000, 0.1667])
    """
    check_choice("distribution", distribution, DISTRIBUTIONS)
    check_choice("mode", mode, MODES)
    if mode == "add" and distribution != "gaussian":
        raise InputError(f"must be gaussian for mode=add, got {distribution!r}", "distribution")
    options: dict[str, object] = {"delta": delta, "ratio": ratio, "labels": labels}
    options |= {"mean": mean, "std": std, "clip": clip, "exponent": exponent}
    for key in [key for key, value in options.items() if value is not None]:
        if mode not in _MODES_OF.get(key, MODES):
            raise InputError(f"must be null, as mode={mode} does not read it", key)
        if distribution not in _DISTRIBUTIONS_OF.get(key, DISTRIBUTIONS):
            raise InputError(f"must be null, as distribution={distribution} does not read it", key)
    if not isinstance(clip, bool | None):
        raise InputError(f"must be true or false, got {clip!r}", "clip")
    clip, delta = clip is not False, DELTA if delta is None else delta

    means, stds = torch.tensor(statistics.mean), torch.tensor(statistics.std)  # (C,)
    if distribution == "class_gaussian":  # (K, C)
        of_classes = [statistics] * len(class_counts) if mean is not None and std is not None else class_statistics()
        means, stds = (torch.tensor([of[part] for of in of_classes]) for part in (0, 1))
    means = means if mean is None else _given("mean", mean, means.shape, high=1)
    stds = stds if std is None else _given("std", std, stds.shape)

    if mode == "add":
        return AddNoise(class_counts, delta, stds, clip, ramp)
    make: dict[str, Callable[[], nn.Module]] = {
        "gaussian": lambda: GaussianNoise(means, stds, clip),
        "uniform": UniformNoise,
        "class_gaussian": lambda: ClassGaussianNoise(means, stds, clip),
        "spectrum": lambda: SpectrumNoise(means, stds, 1.0 if exponent is None else exponent, clip),
    }
    noise = make[distribution]()
    if mode == "append":
        return AppendNoise(RATIO if ratio is None else ratio, len(class_counts), noise, ramp)
    return ReplaceWithNoise(class_counts, delta, noise, ramp, "class" if labels is None else labels)


def no_noise(
    statistics: Statistics, class_counts: Sequence[int], class_statistics: Callable[[], Sequence[Statistics]]
) -> None:
    """Return None, for no noise; the data module then does not measure the statistics that only noise needs.

    Args:
        statistics: not used.
        class_counts: not used.
        class_statistics: not used.

    Example:
        >>> no_noise(Statistics((0.5,), (0.2,)), [10, 5], list)
    """


def _given(key: str, value: Sequence[Any], shape: torch.Size, high: float = math.inf) -> Tensor:
    """Means or standard deviations from the config, as a tensor of the given shape."""
    try:
        table = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        table = torch.empty(0)
    if table.shape != shape or not bool(((table >= 0) & (table <= high) & table.isfinite()).all()):
        length = " of lists of length ".join(str(size) for size in shape)
        bounds = f"in [0, {high}]" if math.isfinite(high) else "of at least 0"
        raise InputError(
            f"must be a list of length {length}, its values {bounds} (pixels are 0 to 1), got {value}", key
        )
    return table
