"""A data set of random pixels: what training takes of time does not depend on what images show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import Unpack

from benchmarks.workload import CLASS_COUNTS
from oponm.data import Images, LongTailDataModule, Pool, Source
from oponm.data.options import DataOptions


class RandomPixels(LongTailDataModule):
    """Random images with a long tail of labels, by default CIFAR-10-LT's: 12,406 of 32x32 at an imbalance ratio of 100.

    Args:
        class_counts: training images of each class.
        shape: of an image, (C, H, W).
        **options: see :class:`~oponm.data.LongTailDataModule`.
    """

    def __init__(
        self,
        class_counts: Sequence[int] = CLASS_COUNTS,
        shape: tuple[int, int, int] = (3, 32, 32),
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.wanted_counts, self.shape = class_counts, shape

    def load_source(self) -> Source:
        """Make the pixels; the test set has one image of each class."""
        classes = len(self.wanted_counts)
        labels = np.repeat(np.arange(classes), self.wanted_counts)
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (len(labels), *self.shape), dtype=torch.uint8, generator=generator)

        def read(wanted: npt.NDArray[np.int64]) -> Images:
            return Images(pixels[wanted], np.arange(len(wanted)))

        firsts = np.arange(classes)
        return Source([str(label) for label in range(classes)], Pool(labels, read), Pool(firsts, read))
