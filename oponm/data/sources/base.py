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
    """Names and labels of some images of a source.

    Attributes:
        files: names of the images, (M,), in dataset order: paths, as an array or as
            :class:`~oponm.data.sources.file_names.FileNames`; or, for images that are not in files, indices into the
            source.
        labels: labels, (M,), int64.
    """

    files: Files
    labels: npt.NDArray[np.int64]


class Images(NamedTuple):
    """Result of a read request: the images, and which of the requested ones could be read.

    Attributes:
        images: decoded images, (N, C, H, W), uint8; or :class:`~oponm.data.stream.StreamedImages`.
        kept: positions, in the request, of the images that could be read, (N,), int64.
    """

    images: Any
    kept: npt.NDArray[np.int64]


class Pool(NamedTuple):
    """Labeled images that are decoded on request.

    Attributes:
        labels: labels, (M,), int64, in dataset order.
        read: function from indices into the pool to :class:`Images`; it decodes only these, all to one size.
        stream: function from indices into the pool, whether to crop at random for training, and the run's seed to
            :class:`Images` that are decoded batch by batch. None if the pool cannot be streamed.
        origins: the file of each image, or its index into the source, (M,); None if indices into the pool are indices
            into the source.
    """

    labels: npt.NDArray[np.int64]
    read: Callable[[npt.NDArray[np.int64]], Images]
    stream: Callable[[npt.NDArray[np.int64], bool, int], Images] | None = None
    origins: Files | None = None

    @classmethod
    def of(cls, images: Tensor, labels: npt.NDArray[np.int64], members: npt.NDArray[np.int64] | None = None) -> Pool:
        """Make a pool of images in memory.

        Args:
            images: all images of the source, (M, C, H, W), uint8.
            labels: their labels, (M,), int64.
            members: indices of the images that are in the pool; None for all.

        Example:
            >>> import torch
            >>> pool = Pool.of(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), np.arange(4), members=np.array([3, 1]))
            >>> pool.labels, pool.read(np.array([0])).images.shape
            (array([3, 1]), torch.Size([1, 1, 8, 8]))
        """
        own = np.arange(len(labels)) if members is None else members
        return cls(labels[own], lambda wanted: Images(images[own[wanted]], np.arange(len(wanted))), origins=own)

    def listed(self, wanted: npt.NDArray[np.int64]) -> Part:
        """Return the names and labels of some images.

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
        skipped: files left out because they could not be decoded, each with the reason, in one line of text; filled by
            ``read`` and ``stream``.
        packing: the pack that images are read from; None if they are decoded from files.
        val_origin: description of where ``val`` comes from, for ``result.json``, such as ``"published list"``.
        facts: dict of further descriptions of the images, for ``result.json``.
        pixel_max: the value that counts as white in images of more than 8 bits; None if the source has no such images.
        groups: number of the group of each image of ``train``, (M,); validation images are held out by whole groups.
            None holds them out one by one.
        cross_validation: dict of ``folds``, ``fold`` and the ``digest`` of all images that were divided, if ``test`` is
            one fold of them; else None.
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
