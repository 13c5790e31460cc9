"""A fingerprint of a split, which shows whether two people trained on the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from oponm.errors import InputError


def split_digest(indices: npt.ArrayLike | Sequence[int]) -> str:
    """SHA-256 of the sorted indices as little-endian int64.

    Args:
        indices: dataset indices of the split, in any order.

    Returns:
        64 hexadecimal digits, the same for the same set of images on every machine.

    Raises:
        InputError: if they are not whole numbers.

    Example:
        >>> split_digest([2, 0, 1]) == split_digest([0, 1, 2])
        True
        >>> split_digest([0, 1, 2])[:16]
        'ab25350e3e65efeb'
    """
    array = np.asarray(indices).ravel()
    if array.size and array.dtype.kind not in "iuO":
        raise InputError(f"must be whole numbers, got {array.dtype}", "indices")
    return hashlib.sha256(np.sort(array.astype("<i8")).tobytes()).hexdigest()
