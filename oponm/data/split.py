"""Which images of a source are trained on, which of them validate, and which are held out for testing."""

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
        fold: which of them is held out, in ``[0, k)``. The k folds of one seed share no image and are all images.
        seed: shuffles the images first.
        groups: the group of each image, (N,); no group is in two folds. None splits image by image.

    Returns:
        Indices of what is kept and of what is held out, each in dataset order.

    Raises:
        InputError: for a fold that there is not, or for more folds than images of each class, or than groups.

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
    if groups is not None and len(np.unique(groups)) < folds:
        raise InputError(f"of {folds} are more than the {len(np.unique(groups))} groups: lower it", "folds")
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that a fold lacks are named when images are counted
        try:
            pairs = list(splitter.split(np.zeros(len(labels)), labels, groups))
        except ValueError as error:
            raise InputError(f"of {folds} are more than any class has images: lower it", "folds") from error
    return np.sort(pairs[fold][0]), np.sort(pairs[fold][1])


def grouped_split(labels: Indices, groups: Indices, share: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Split a set in two by whole groups, with classes in about the same shares on both sides.

    It is the first of about ``1 / share`` folds of :func:`fold_split`, so that the share is met about.

    Args:
        labels: class labels, (N,).
        groups: the group of each image, (N,).
        share: of the images to hold out, in (0, 1).
        seed: shuffles first.

    Returns:
        Indices of what is kept and of what is held out, each in dataset order.

    Raises:
        InputError: for a share that is none, or for too few groups.

    Example:
        >>> kept, held_out = grouped_split(np.tile([0, 1], 8), np.arange(16) // 4, share=0.25)
        >>> len(kept), len(held_out)
        (12, 4)
    """
    if isinstance(share, int) or not 0 < check_real("share", share, 0, 1) < 1:
        raise InputError(f"{share} images of each class: must be a share between 0 and 1 where images have groups")
    folds = max(2, min(round(1 / min(share, 1 - share)), len(np.unique(groups))))
    first, rest = fold_split(labels, folds, 0, seed, groups)
    return (first, rest) if share <= 0.5 else (rest, first)


log = logging.getLogger(__name__)
VALIDATIONS = ("none", "split", "test")


def check_draw(draw: str, draw_seed: int, imbalance_ratio: float | None) -> None:
    """Check that a draw can be made.

    Args:
        draw: ``"ldam"``, ``"m2m"``, ``"random"``, or the path of a file of indices.
        draw_seed: its seed.
        imbalance_ratio: of the tail to be drawn; None to take the images as they are.

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
    """Return ``seed`` if numpy and scikit-learn can draw by it.

    Raises:
        InputError: if it is no whole number from 0 to 2**32 - 1.

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
        labels: of the images to draw from, (M,).
        num_classes: K.
        order_classes: gives the classes from head to tail for how many images there are of each.
        imbalance_ratio: n_max / n_min; None to take the images as they are.
        profile: ``"exponential"`` or ``"step"``.
        draw: which images of a class are taken, see :class:`~oponm.data.LongTailDataModule`.
        draw_seed: seed of the draw.

    Returns:
        Indices of the images drawn, (N,).

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
    """Candidates for the training set, and what validates.

    Args:
        source: the data set.
        val: ``"split"`` holds images out, unless the source has a validation set.
        val_size: images of each class to hold out, a number or a share; of a source with groups a share.
        seed: of what is held out of the training images.

    Returns:
        Indices into ``source.train``; and into ``source.val`` if there is one, else ``source.train``, or None where
        nothing is held out.

    Raises:
        InputError: if that would leave a class nothing to train on.
    """
    everything = np.arange(len(source.train.labels))
    if val == "test" and source.test is None:
        raise InputError("is test, and there is no test set: choose split or none", "val")
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
    """What validates, in words, which are logged.

    Args:
        source: the data set.
        val: see :class:`~oponm.data.LongTailDataModule`.
    """
    words = {"none": "none", "test": "the test set", "split": source.val_origin or "own validation set"}[val]
    if val == "split" and source.val is None:
        words = "held out of the training images"
    log.info("validation: %s", words)
    if val == "test":
        log.warning("val=test: the test set doubles as validation set, so the best epoch's figure flatters")
    return words
