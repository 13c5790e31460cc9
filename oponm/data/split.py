"""Divides the images of a source into training, validation and test set."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from oponm.data.sources.base import Source
from oponm.errors import InputError, check_int, check_real
from oponm.longtail import draw_indices, fit_counts, read_indices, stratified_split
from oponm.longtail.draws import DRAWS

Indices = npt.NDArray[np.int64]


def fold_split(
    labels: Indices, folds: int, fold: int, seed: int = 0, groups: Indices | None = None
) -> tuple[Indices, Indices]:
    """Split a set in two for one step of stratified k-fold cross-validation.

    Args:
        labels: class labels, (N,).
        folds: k, at least 2.
        fold: index of the fold that is held out, in ``[0, k)``. The k folds of one seed are disjoint and together
            contain all images.
        seed: seed of the shuffle before the split.
        groups: number of the group of each image, (N,); no group is in two folds. None splits image by image.

    Returns:
        Indices of the images that are kept and of those that are held out, each in dataset order.

    Raises:
        InputError: for a fold outside ``[0, k)``, or for more folds than groups or than images of the largest class.

    References:
        ``StratifiedKFold`` and ``StratifiedGroupKFold`` of scikit-learn.

    Example:
        >>> kept, held_out = fold_split(np.repeat([0, 1], 4), folds=4, fold=0)
        >>> len(kept), len(held_out)
        (6, 2)
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if check_int("fold", fold, minimum=0) >= check_int("folds", folds, minimum=2):
        raise InputError(f"must be below folds={folds}, as the first is 0; got {fold}", "fold")
    if groups is not None and (number := len(np.unique(groups))) < folds:
        raise InputError(f"needs {folds} groups, one per fold, but there are {number}: lower it", "folds")
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that a fold lacks are named when images are counted
        try:
            pairs = list(splitter.split(np.zeros(len(labels)), labels, groups))
        except ValueError as error:
            raise InputError(f"needs a class of at least {folds} images, one per fold: lower it", "folds") from error
    return np.sort(pairs[fold][0]), np.sort(pairs[fold][1])


def grouped_split(labels: Indices, groups: Indices, share: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Split a set in two by whole groups, with about the same class frequencies on both sides.

    One side is the first of about ``1 / share`` folds of :func:`fold_split`, so ``share`` is met only approximately.

    Args:
        labels: class labels, (N,).
        groups: number of the group of each image, (N,).
        share: fraction of the images to hold out, in (0, 1).
        seed: seed of the shuffle before the split.

    Returns:
        Indices of the images that are kept and of those that are held out, each in dataset order.

    Raises:
        InputError: for a share outside (0, 1), or for fewer than two groups.

    Example:
        >>> kept, held_out = grouped_split(np.tile([0, 1], 8), np.arange(16) // 4, share=0.25)
        >>> len(kept), len(held_out)
        (12, 4)
    """
    if isinstance(share, int) or not 0 < check_real("share", share, 0, 1) < 1:
        raise InputError(f"must be a share between 0 and 1 if images have groups, got {share}")
    folds = max(2, min(round(1 / min(share, 1 - share)), len(np.unique(groups))))
    first, rest = fold_split(labels, folds, 0, seed, groups)
    return (first, rest) if share <= 0.5 else (rest, first)


log = logging.getLogger(__name__)
VALIDATIONS = ("none", "split", "test")


def check_draw(draw: str, draw_seed: int, imbalance_ratio: float | None) -> None:
    """Check the keys of a draw before the images are known.

    Args:
        draw: ``"ldam"``, ``"m2m"``, ``"random"``, or the path of a file of indices.
        draw_seed: seed of the draw.
        imbalance_ratio: n_max / n_min of the tail to be drawn; None to take the images as they are.

    Raises:
        InputError: for a seed out of range; for a file of indices that cannot be read, or that is given with a ratio.

    Example:
        >>> check_draw("ldam", 0, 100)
    """
    if draw not in DRAWS and imbalance_ratio is not None:
        read_indices(draw, num_images=2**63 - 1)
        raise InputError(f"must be null, as the images are listed in draw={draw}", "imbalance_ratio")
    check_seed("draw_seed", draw_seed)


def check_seed(key: str, seed: object) -> int:
    """Return ``seed`` if it is a valid seed for NumPy and scikit-learn.

    Raises:
        InputError: if it is not a whole number from 0 to 2**32 - 1.

    Example:
        >>> check_seed("split_seed", 7)
        7
    """
    number = check_int(key, seed, minimum=0)
    if number >= 2**32:
        raise InputError(f"must be below 2**32, got {number}", key)
    return number


def draw_tail(
    labels: Indices,
    num_classes: int,
    order_classes: Callable[[list[int]], list[int]],
    imbalance_ratio: float | None = None,
    profile: str = "exponential",
    draw: str = "ldam",
    draw_seed: int = 0,
) -> Indices:
    """Draw a long tail.

    Args:
        labels: labels of the images to draw from, (M,), int64.
        num_classes: number of classes, K.
        order_classes: function from the number of images of each class to the labels from head to tail.
        imbalance_ratio: n_max / n_min; None to take the images as they are.
        profile: shape of the class counts, ``"exponential"`` or ``"step"``.
        draw: the rule by which images of a class are taken: ``"ldam"``, ``"m2m"`` or ``"random"``, see
            :func:`~oponm.longtail.draw_indices`; else the path of a file with the indices of the subset.
        draw_seed: seed of the draw.

    Returns:
        Indices of the images drawn, (N,), int64.

    Raises:
        InputError: for a ratio that the images do not allow, or a file of indices that cannot be used.

    Example:
        >>> labels = np.repeat([0, 1], 4)
        >>> draw_tail(labels, 2, lambda available: [0, 1], imbalance_ratio=4, draw="m2m")
        array([0, 1, 2, 3, 4])
    """
    if draw not in DRAWS:
        return read_indices(draw, len(labels))
    if imbalance_ratio is None:
        return np.arange(len(labels))
    available = np.bincount(labels, minlength=num_classes).tolist()
    order = order_classes(available)
    fitted = fit_counts([available[label] for label in order], imbalance_ratio, profile)
    counts = [count for _, count in sorted(zip(order, fitted, strict=True))]
    return draw_indices(labels, counts, draw, draw_seed)


def hold_out(source: Source, val: str, val_size: int | float, seed: int) -> tuple[Indices, Indices | None]:
    """Choose the candidates for the training set, and the validation images.

    Args:
        source: the data set.
        val: ``"split"`` holds images out, unless the source has a validation set; ``"test"`` and ``"none"`` hold out
            nothing.
        val_size: images of each class to hold out: a number (int), or a share in (0, 1); if the source has groups, it
            must be a share.
        seed: seed of the choice of held-out images.

    Returns:
        Two arrays of indices, int64. The first has the candidates, in ``source.train``. The second has the validation
        images, in ``source.val`` if the source has a validation set, else in ``source.train``; it is None unless
        ``val="split"``.

    Raises:
        InputError: for ``val="test"`` without a test set, or if a class would have no image left to train on.
    """
    everything = np.arange(len(source.train.labels))
    if val == "test" and source.test is None:
        raise InputError("is test, but there is no test set: choose split or none", "val")
    if val != "split":
        return everything, None
    if source.val is not None:
        return everything, np.arange(len(source.val.labels))
    try:
        if source.groups is not None:
            return grouped_split(source.train.labels, source.groups, val_size, seed=seed)
        return stratified_split(source.train.labels, val_size, seed=seed)
    except InputError as error:
        raise InputError(f"asks for too much: {error.message}; lower it", "val_size") from error


def describe_validation(source: Source, val: str) -> str:
    """Describe the validation set in words, and log them.

    Args:
        source: the data set.
        val: ``"none"``; ``"split"``, the source's validation set or images held out; or ``"test"``, the test set.
    """
    words = {"none": "none", "test": "the test set", "split": source.val_origin or "own validation set"}[val]
    if val == "split" and source.val is None:
        words = "held out of the training images"
    log.info("validation: %s", words)
    if val == "test":
        log.warning("val=test: the test set doubles as validation set, so the best epoch's results are too good")
    return words
