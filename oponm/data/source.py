"""What a data set must offer before a long tail is drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor


class Images(NamedTuple):
    """Decoded images.

    Attributes:
        images: (N, C, H, W), uint8.
        kept: positions, in the request, of the images that could be read; (N,).
    """

    images: Tensor
    kept: npt.NDArray[np.int64]


class Pool(NamedTuple):
    """Labelled images that are decoded when asked for.

    Attributes:
        labels: (M,), int64, in dataset order.
        read: takes indices into the pool and decodes these images alone, all to one size, to be kept in memory.
        files: (M,), paths, where images can also be decoded batch by batch, as sets too large for memory are.
        size: side in pixels that files are decoded to.
    """

    labels: npt.NDArray[np.int64]
    read: Callable[[npt.NDArray[np.int64]], Images]
    files: npt.NDArray[np.object_] | None = None
    size: int = 0


@dataclass(frozen=True)
class Source:
    """A data set in full, before a long tail is drawn.

    Attributes:
        class_names: names in label order.
        train: images to draw the training set from.
        test: the test set.
        val: the validation set, for data sets that define one.
        skipped: filled by ``read``: files left out because they could not be decoded, with the reason.
    """

    class_names: list[str]
    train: Pool
    test: Pool
    val: Pool | None = None
    skipped: list[str] = field(default_factory=list)
