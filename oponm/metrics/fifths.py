"""Groups the classes from tail to head into fifths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_fifths(class_counts: Sequence[int]) -> list[list[int]]:
    """Cut the classes, sorted by their number of training images, into five groups of nearly equal size.

    Groups differ in size by one class at most; groups of rarer classes are the larger ones. Of two classes with equally
    many images the one with the higher label is the rarer, because labels of published subsets rise from head to tail;
    the order does not depend on the recalls.

    Args:
        class_counts: training images of each class.

    Returns:
        Five lists of labels, each from rare to frequent, the rarest classes first; empty for fewer than five classes.

    References:
        Lee, Lee, "[Re] Pure Noise to the Rescue of Insufficient Data", ReScience C 2023 (accuracy by fifths).

    Example:
        >>> class_fifths([9, 8, 7, 7, 5, 4])
        [[5, 4], [3], [2], [1], [0]]
        >>> class_fifths([30, 20, 10])
        []
    """
    if len(class_counts) < 5:
        return []
    order = sorted(range(len(class_counts)), key=lambda label: (class_counts[label], -label))
    return [part.tolist() for part in np.array_split(order, 5)]
