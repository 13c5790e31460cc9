"""Many-, medium- and few-shot classes."""

from __future__ import annotations

from collections.abc import Sequence

from oponm.errors import InputError, check_real


def shot_groups(class_counts: Sequence[int], many_over: int = 100, few_under: int = 20) -> dict[str, list[int]]:
    """Group classes by their number of training images.

    Args:
        class_counts: training images of each class.
        many_over: a class with more images than this is many-shot.
        few_under: a class with fewer images than this is few-shot; all others are medium-shot.

    Returns:
        ``{"many": [...], "medium": [...], "few": [...]}``, class labels in ascending order; a group may be empty.

    Raises:
        InputError: if the thresholds overlap.

    References:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019.

    Example:
        >>> shot_groups([101, 100, 20, 19])
        {'many': [0], 'medium': [1, 2], 'few': [3]}
    """
    check_real("many_over", many_over, 0)
    check_real("few_under", few_under, 0)
    if many_over < few_under:
        raise InputError(f"must be at least few_under={few_under}, got {many_over}", "many_over")
    groups: dict[str, list[int]] = {"many": [], "medium": [], "few": []}
    for label, count in enumerate(class_counts):
        groups["many" if count > many_over else "few" if count < few_under else "medium"].append(label)
    return groups
