"""digits-LT: the embedded data set, 1,797 real handwritten digits of 8x8 pixels, no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import Unpack

from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions
from oponm.data.sources.base import Pool, Source
from oponm.errors import InputError, check_int
from oponm.longtail import stratified_split


class DigitsLT(LongTailDataModule):
    """A long-tailed draw of scikit-learn's bundled digits with a balanced test set.

    Each class has 174 to 183 images; the test set takes the same number of each, by a fixed seed, so it is the same for
    every run. The long tail is drawn from the rest.

    Args:
        test_per_class: test images of each class.
        **options: for :class:`~oponm.data.LongTailDataModule`.

    References:
        Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.

    Example:
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> data.setup()
        >>> data.class_counts
        [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]
    """

    def __init__(self, test_per_class: int = 50, **options: Unpack[DataOptions]) -> None:
        super().__init__(**options)
        self.test_per_class = check_int("test_per_class", test_per_class, minimum=1)
        if test_per_class > 170:
            raise InputError(
                f"can be 170 at most, the classes have 174 to 183 images, got {test_per_class}", "test_per_class"
            )

    def load_source(self) -> Source:
        """Split the digits into a pool to draw from and a balanced test set."""
        pixels, labels = read_digits()
        images = torch.from_numpy((pixels * (255 / 16)).round().astype(np.uint8)).unsqueeze(1)
        train, test = stratified_split(labels, self.test_per_class, seed=self.split_seed or 0)
        names = [str(digit) for digit in range(10)]
        return Source(names, Pool.of(images, labels, train), Pool.of(images, labels, test))


def read_digits() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Read the digits of scikit-learn, as its ``load_digits`` returns them.

    They are read without importing scikit-learn, which takes longer than a short run's first epoch. If a build stores
    its data elsewhere, ``load_digits`` is called.

    Returns:
        Images, (1797, 8, 8), 0 to 16; labels, (1797,).

    Example:
        >>> images, labels = read_digits()
        >>> images.shape, labels[:4].tolist()
        ((1797, 8, 8), [0, 1, 2, 3])
    """
    spec = importlib.util.find_spec("sklearn")
    folders = spec.submodule_search_locations if spec else None
    table = Path(next(iter(folders or [""])), "datasets", "data", "digits.csv.gz")
    if table.is_file():
        numbers = np.loadtxt(table, delimiter=",")
        return numbers[:, :-1].reshape(-1, 8, 8), numbers[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)
