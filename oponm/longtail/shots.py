"""Groups of classes by their number of training images: many, medium and few, or head, middle and tail."""

from __future__ import annotations

from collections.abc import Sequence

from oponm.errors import InputError, check_real

SHOTS = ("many", "medium", "few")  # by thresholds
THIRDS = ("head", "middle", "tail")  # of the classes
_MANY_OVER, _FEW_UNDER = 100, 20


def shot_groups(
    class_counts: Sequence[int], many_over: int | None = _MANY_OVER, few_under: int | None = _FEW_UNDER
) -> dict[str, list[int]]:
    """Group classes by their number of training images: by thresholds, or into thirds.

    The literature uses absolute thresholds: use them to compare with published results on the same data sets. In other
    sets all classes may be on one side of them; thirds fit any set.

    Args:
        class_counts: training images of each class.
        many_over: a class with more images than this is many-shot. If both thresholds are None, classes are split into
            thirds. If only one is None, it is 100 or 20.
        few_under: a class with fewer images than this is few-shot; all others are medium-shot.

    Returns:
        ``{"many": [...], "medium": [...], "few": [...]}``, or ``{"head": [...], "middle": [...], "tail": [...]}`` as
        :func:`class_thirds` returns it; class labels in ascending order; a group may be empty.

    Raises:
        InputError: if the thresholds overlap.

    References:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019.

    Example:
        >>> shot_groups([101, 100, 20, 19])
        {'many': [0], 'medium': [1, 2], 'few': [3]}
        >>> shot_groups([101, 100, 20, 19], None, None)
        {'head': [0], 'middle': [1, 2], 'tail': [3]}
    """
    if many_over is None and few_under is None:
        return class_thirds(class_counts)
    many_over = _MANY_OVER if many_over is None else many_over
    few_under = _FEW_UNDER if few_under is None else few_under
    check_real("many_over", many_over, 0)
    check_real("few_under", few_under, 0)
    if many_over < few_under:
        raise InputError(f"must be at least few_under={few_under}, got {many_over}", "many_over")
    groups: dict[str, list[int]] = {name: [] for name in SHOTS}
    for label, count in enumerate(class_counts):
        groups["many" if count > many_over else "few" if count < few_under else "medium"].append(label)
    return groups


def head_to_tail(class_counts: Sequence[int]) -> list[int]:
    """The class labels from most to fewest images; of equally many in order of labels.

    Args:
        class_counts: images of each class.

    Example:
        >>> head_to_tail([5, 90, 5])
        [1, 0, 2]
    """
    return sorted(range(len(class_counts)), key=lambda label: (-class_counts[label], label))


def class_thirds(class_counts: Sequence[int]) -> dict[str, list[int]]:
    """Cut the classes, sorted by their number of training images, into three groups of nearly equal size.

    Head and tail are equally large, and the middle takes what is left: of two classes one is head, one tail, and none
    in the middle; of four, two are in the middle. Of two classes with equally many images, the one with the higher
    label counts as the rarer.

    Args:
        class_counts: training images of each class.

    Returns:
        ``{"head": [...], "middle": [...], "tail": [...]}``, class labels in ascending order.

    Example:
        >>> class_thirds([5, 90, 30])
        {'head': [1], 'middle': [2], 'tail': [0]}
        >>> class_thirds([5, 90])
        {'head': [1], 'middle': [], 'tail': [0]}
    """
    order = head_to_tail(class_counts)
    size = round(len(order) / 3)
    parts = order[:size], order[size : len(order) - size], order[len(order) - size :]
    return {name: sorted(labels) for name, labels in zip(THIRDS, parts, strict=True)}
