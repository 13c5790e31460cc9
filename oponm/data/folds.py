"""Hold out a fold of a set, or whole groups of it; scikit-learn does the splitting."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from oponm.errors import InputError, check_int, check_real

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
        InputError: for a fold that does not exist, or for more folds than images of each class, or than groups.

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

    It is the first of about ``1 / share`` folds of :func:`fold_split`, so the share is met approximately.

    Args:
        labels: class labels, (N,).
        groups: the group of each image, (N,).
        share: of the images to hold out, in (0, 1).
        seed: shuffles first.

    Returns:
        Indices of what is kept and of what is held out, each in dataset order.

    Raises:
        InputError: for a share outside (0, 1), or for too few groups.

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
