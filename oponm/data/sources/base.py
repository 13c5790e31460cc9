"""The form of a data set before a long tail is drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from oponm.data.sources.file_names import FileNames

if TYPE_CHECKING:
    from oponm.data.sources.prepare import Packing

Files = FileNames | npt.NDArray[Any]


class Part(NamedTuple):
    """Images by what they are called where they come from, and their labels.

    Attributes:
        files: paths, (M,), in dataset order, as an array, or as :class:`~oponm.data.sources.file_names.FileNames`; or
            indices in the source.
        labels: (M,), int64.
    """

    files: Files
    labels: npt.NDArray[np.int64]


class Images(NamedTuple):
    """Images as they were asked for.

    Attributes:
        images: decoded, (N, C, H, W), uint8; or :class:`~oponm.data.stream.StreamedImages`.
        kept: positions, in the request, of the images that could be read; (N,).
    """

    images: Any
    kept: npt.NDArray[np.int64]


class Pool(NamedTuple):
    """Labeled images that are decoded on request.

    Attributes:
        labels: (M,), int64, in dataset order.
        read: takes indices into the pool and decodes these images alone, all to one size, to be kept in memory.
        stream: the same for sets too large for memory: takes indices, whether to crop at random for training, and the
            run's seed, and leaves the images where they are. None where this cannot be.
        origins: the file of each image, or its index in the source, (M,); None where the pool is the source.
    """

    labels: npt.NDArray[np.int64]
    read: Callable[[npt.NDArray[np.int64]], Images]
    stream: Callable[[npt.NDArray[np.int64], bool, int], Images] | None = None
    origins: Files | None = None

    @classmethod
    def of(cls, images: Tensor, labels: npt.NDArray[np.int64], members: npt.NDArray[np.int64] | None = None) -> Pool:
        """A pool of images in memory.

        Args:
            images: (M, C, H, W), uint8.
            labels: (M,), int64.
            members: indices of those that are in the pool; None for all.

        Example:
            >>> import torch
            >>> pool = Pool.of(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), np.arange(4), members=np.array([3, 1]))
            >>> pool.labels, pool.read(np.array([0])).images.shape
            (array([3, 1]), torch.Size([1, 1, 8, 8]))
        """
        own = np.arange(len(labels)) if members is None else members
        return cls(labels[own], lambda wanted: Images(images[own[wanted]], np.arange(len(wanted))), origins=own)

    def listed(self, wanted: npt.NDArray[np.int64]) -> Part:
        """Origins and labels of some images.

        Args:
            wanted: indices into the pool.
        """
        return Part(wanted if self.origins is None else self.origins[wanted], self.labels[wanted])


@dataclass(frozen=True)
class Source:
    """A complete data set, before a long tail is drawn.

    Attributes:
        class_names: names in label order.
        train: images to draw the training set from.
        test: the test set; None for a set without one.
        val: the validation set, for data sets that define one.
        skipped: filled by ``read`` and ``stream``: files left out because they could not be decoded, with the reason.
        packing: the pack that images are read from; None if they are decoded from files.
        val_origin: origin of ``val``, for results.
        facts: further facts about the images for results, by name.
        pixel_max: the value that is white in images of more than 8 bits; None where there are none.
        groups: the number of the group of each image of ``train``, (M,); held-out images share no group with those
            that are kept. None where images are held out one by one.
        cross_validation: ``folds``, ``fold`` and the ``digest`` of all images that were divided, where ``test`` is a
            fold of them.
    """

    class_names: list[str]
    train: Pool
    test: Pool | None
    val: Pool | None = None
    skipped: list[str] = field(default_factory=list)
    packing: Packing | None = None
    val_origin: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    pixel_max: float | None = None
    groups: npt.NDArray[np.int64] | None = None
    cross_validation: dict[str, Any] | None = None
