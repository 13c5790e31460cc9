"""Evaluates on a part of a run's data other than its test set."""

from __future__ import annotations

import copy

from oponm.data import LongTailDataModule
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_choice

SPLITS = ("test", "val", "train")


def serve_split(data: LongTailDataModule, split: str) -> None:
    """Replace the test set of a data module by a part of its data: every image once, in order, not augmented.

    Args:
        data: the data module, set up; its test set is replaced.
        split: ``"test"``, ``"val"`` or ``"train"``, the long-tailed training set as it was drawn.

    Raises:
        InputError: for another ``split``, or for ``"val"`` or ``"test"`` where there is no such set.

    Example:
        >>> from oponm.data import DigitsLT
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> data.setup()
        >>> serve_split(data, "train")
        >>> data.test_counts == data.class_counts
        True
    """
    check_choice("split", split, SPLITS)
    if split == "test" and data.test_set is None:
        raise InputError(
            "is test, and the run has no test set: choose train or val, or name a folder of images", "split"
        )
    if split == "val":
        if data.val == "none":
            raise InputError("is val, and the run has no validation set: choose test or train", "split")
        data.test_set, data.test_counts = data.val_set, data.val_counts
        data.listed = {**data.listed, "test": data.listed["test" if data.val == "test" else "val"]}
    elif split == "train":
        data.test_set, data.test_counts = data.train_set, data.class_counts
        data.listed = {**data.listed, "test": data.listed["train"]}
        if isinstance(data.train_set, StreamedImages):
            data.test_set = copy.copy(data.train_set)
            data.test_set.training = False  # the center, not a random crop
