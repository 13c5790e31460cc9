"""Checks the options of losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.errors import InputError, check_real


def check_counts(class_counts: Sequence[int]) -> Tensor:
    """Return the training images of each class as a new tensor, (K,), int64.

    Losses keep the counts as a non-persistent buffer, not values derived from them. Integers stay exact in any
    precision that a model is converted to, and the loss is computed from them in the precision of the logits.

    Raises:
        InputError: if they are not whole numbers of at least 1.

    Example:
        >>> check_counts([100, 10])
        tensor([100,  10])
    """
    counts = torch.tensor(list(class_counts))
    if counts.ndim != 1 or counts.is_floating_point() or not bool((counts >= 1).all()):
        raise InputError(
            f"must be one whole number for each class, none below 1, got {list(class_counts)}: leave out empty classes",
            "class_counts",
        )
    return counts.long()


def check_below_one(key: str, value: object) -> float:
    """Return ``value`` as a ``float`` in ``[0, 1)``.

    Raises:
        InputError: if it is no number, or outside.

    Example:
        >>> check_below_one("label_smoothing", 0.1)
        0.1
    """
    number = check_real(key, value, 0, 1)
    if number == 1:
        raise InputError("must be below 1, got 1", key)
    return number


def check_positive(key: str, value: object) -> float:
    """Return ``value`` as a finite ``float`` above 0.

    Raises:
        InputError: if it is no number, not finite, 0 or negative.

    Example:
        >>> check_positive("scale", 30)
        30.0
    """
    number = check_real(key, value, 0)
    if number == 0:
        raise InputError("must be above 0, got 0", key)
    return number
