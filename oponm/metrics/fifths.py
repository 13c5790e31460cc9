"""Classes from tail to head, in five groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_fifths(class_counts: Sequence[int]) -> list[list[int]]:
    """Cut the classes, sorted by their number of training images, into five groups as equal as can be.

    Groups differ in size by one class at most, and those of rarer classes are the larger ones. Of two classes with
    equally many images the one with the higher label counts as the rarer, as in published subsets the label rises from
    head to tail; whatever their recalls are, the order stays.

    Args:
        class_counts: training images of each class.

    Returns:
        Five lists of labels, each from rare to frequent, the rarest classes first; none for fewer than five classes.

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
