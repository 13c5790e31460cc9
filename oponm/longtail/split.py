"""Holds images out of a set, the same share or number of every class."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from oponm.errors import InputError
from oponm.longtail.members import class_members


def check_held_out(key: str, value: object) -> int | float:
    """Return ``value`` if it is a valid number or share of images to hold out of each class.

    Raises:
        InputError: if it is neither a whole number of at least 1 nor a share between 0 and 1.

    Example:
        >>> check_held_out("val_size", 0.1)
        0.1
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (value >= 1 if isinstance(value, Integral) else 0 < value < 1):  # type: ignore[operator]
        raise InputError(f"must be a whole number of at least 1, or a share between 0 and 1, got {value!r}", key)
    return value  # type: ignore[return-value]


def stratified_split(
    labels: npt.ArrayLike, held_out: int | float, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split a set in two, class by class.

    Args:
        labels: class labels, shape (N,), in ``[0, C)``.
        held_out: images to hold out of each class: a number (``int``), or a share in (0, 1) (``float``; rounded, and
            at least one image).
        seed: seed of the draw.

    Returns:
        Indices of the kept and of the held-out images, each in dataset order.

    Raises:
        InputError: if a class would have no image on one side.

    Example:
        >>> kept, held_out = stratified_split([0, 0, 0, 1, 1, 1], 1)
        >>> len(kept), len(held_out)
        (4, 2)
    """
    whole = isinstance(check_held_out("held_out", held_out), Integral)
    labels = np.asarray(labels)
    held = np.zeros(len(labels), dtype=bool)
    for label, members in enumerate(class_members(labels, int(labels.max()) + 1)):
        number = int(held_out) if whole else max(1, round(held_out * len(members)))
        if not 0 < number < len(members):
            raise InputError(
                f"class {label} has {len(members)} images: holding out {number} leaves one side without any"
            )
        np.random.RandomState([seed, label]).shuffle(members)  # its stream never changes
        held[members[:number]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
