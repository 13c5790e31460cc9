"""Images per class under the two long-tail profiles of the field."""

from __future__ import annotations

from collections.abc import Sequence

from oponm.errors import InputError, check_choice, check_int, check_real

PROFILES = ("exponential", "step")


def exponential_counts(n_max: int, num_classes: int, imbalance_ratio: float) -> list[int]:
    r"""Images per class that decrease exponentially from head to tail.

    .. math:: n_i = \lfloor n_{max} \cdot IR^{-i/(C-1)} \rfloor, \quad i = 0 \dots C-1

    Args:
        n_max: images of the first, largest class.
        num_classes: number of classes C, at least 2.
        imbalance_ratio: IR = n_max / n_min, at least 1; 1 is the balanced set.

    Returns:
        C counts in label order, none below 1.

    Raises:
        InputError: for a value out of range, or where the last class would be left without an image.

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019.

    Example:
        >>> exponential_counts(5000, 10, 100)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    return _counts(n_max, num_classes, imbalance_ratio, "exponential")


def step_counts(n_max: int, num_classes: int, imbalance_ratio: float) -> list[int]:
    r"""Images per class in one step: the first half has ``n_max``, the second ``n_max / IR``, rounded down.

    With an odd number of classes, the head has one class fewer than the tail.

    Args:
        n_max: images of each head class.
        num_classes: number of classes C, at least 2.
        imbalance_ratio: IR = n_max / n_min, at least 1.

    Returns:
        C counts in label order, none below 1.

    Raises:
        InputError: for a value out of range, or where the tail would be left without an image.

    References:
        Buda et al., "A systematic study of the class imbalance problem in convolutional neural networks", 2018.

    Example:
        >>> step_counts(100, 4, 10)
        [100, 100, 10, 10]
    """
    return _counts(n_max, num_classes, imbalance_ratio, "step")


def fit_counts(available: Sequence[int], imbalance_ratio: float, profile: str = "exponential") -> list[int]:
    """The largest long tail of a given profile that fits into the available images.

    On a balanced set this is the profile with ``n_max`` equal to the images per class.

    Args:
        available: available images of each class, in label order.
        imbalance_ratio: IR, at least 1.
        profile: ``"exponential"`` or ``"step"``.

    Returns:
        Counts in label order, each at most the available images.

    Raises:
        InputError: for an unknown profile, a ratio out of range, or where no such tail leaves an image to every class.

    Example:
        >>> fit_counts([100, 100, 100], 10)
        [100, 31, 10]
        >>> fit_counts([500, 20, 100], 10)
        [66, 20, 6]
    """
    check_choice("profile", profile, PROFILES)
    low, high = 1, max(available, default=1)
    weights = _weights(len(available), imbalance_ratio, profile)
    if low > min(available):
        raise InputError(f"class {list(available).index(min(available))} is without an image: every class needs one")
    while low < high:  # bisect for the largest head class that fits
        middle = (low + high + 1) // 2
        if all(_count(middle, weight) <= count for weight, count in zip(weights, available, strict=True)):
            low = middle
        else:
            high = middle - 1
    return _counts(low, len(available), imbalance_ratio, profile)


def _weights(num_classes: int, imbalance_ratio: float, profile: str) -> list[float]:
    check_int("num_classes", num_classes, minimum=2)
    tail = 1 / check_real("imbalance_ratio", imbalance_ratio, 1)
    if profile == "exponential":
        return [tail ** (i / (num_classes - 1)) for i in range(num_classes)]
    head = num_classes // 2
    return [1.0] * head + [tail] * (num_classes - head)


def _count(n_max: int, weight: float) -> int:
    return int(n_max * weight + 1e-9)  # 49 * (1 / 49) is 1, also in floating point


def _counts(n_max: int, num_classes: int, imbalance_ratio: float, profile: str) -> list[int]:
    check_int("n_max", n_max, minimum=1)
    counts = [_count(n_max, weight) for weight in _weights(num_classes, imbalance_ratio, profile)]
    if counts[-1] < 1:
        raise InputError(
            f"of {imbalance_ratio:g} leaves the smallest class without an image: "
            f"with {n_max} images in the largest class it can be {n_max} at most",
            "imbalance_ratio",
        )
    return counts
