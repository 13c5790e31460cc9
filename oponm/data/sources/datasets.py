"""Datasets of torch and torchvision: objects that return an image and its label for an index."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import Unpack

from oponm.data.decode import RESIZES, Form, Size
from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions, check_channels, check_size
from oponm.data.sources.base import Images, Pool, Source
from oponm.errors import InputError, check_choice, check_real
from oponm.longtail import head_to_tail, stratified_split

LARGEST_DEFAULT_SIZE = 224


class DatasetLT(LongTailDataModule):
    """Any dataset of labeled images, taken as it is, or with a long tail drawn from it.

    Images are read once, brought to one size, and kept in memory as bytes, so random transforms of a dataset would be
    applied only once. This module augments and normalizes them.

    Args:
        dataset: object whose ``dataset[i]`` is an image and its label, a whole number from 0 on. The image is Pillow's;
            (H, W) or (H, W, C) of NumPy, uint8; or (C, H, W) of torch, uint8 or in [0, 1]. If the dataset has
            ``targets``, these are the labels; if it has ``classes``, these are the class names.
        test_dataset: the test set, in the same form; None holds a test set out of ``dataset``.
        val_dataset: the validation set for ``val="split"``, in the same form; None holds it out of the training images.
        test_fraction: share of each class to hold out, in (0, 1), if ``test_dataset`` is None.
        image_size: side of the square images in pixels, or (height, width); None takes the short side of the first
            image, 224 at most.
        resize: how images of another shape are brought to ``image_size``: ``"crop"``, ``"stretch"`` or ``"pad"``, see
            :class:`~oponm.data.decode.Form`.
        channels: number of channels, 1 or 3; None takes that of the first image.
        **options: for :class:`~oponm.data.LongTailDataModule`; ``imbalance_ratio=None`` takes the images as they are.

    Raises:
        InputError: from :meth:`setup`, for images or labels of an unsupported kind.

    Example:
        >>> pairs = [(Image.new("L", (8, 8), 25 * i), i % 2) for i in range(10)]
        >>> data = DatasetLT(pairs, test_fraction=0.4)
        >>> data.setup()
        >>> data.class_names, data.class_counts, data.test_counts, data.image_shape
        (['0', '1'], [3, 3], [2, 2], (1, 8, 8))
    """

    def __init__(
        self,
        dataset: Any,
        test_dataset: Any = None,
        val_dataset: Any = None,
        test_fraction: float = 0.2,
        image_size: int | Sequence[int] | None = None,
        resize: str = "crop",
        channels: int | None = None,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self._given = {"dataset": dataset, "test_dataset": test_dataset, "val_dataset": val_dataset}
        for key, given in self._given.items():
            if given is not None and not (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
                raise InputError(
                    f"must have a length, and an image and a label for each index; got a {type(given).__name__}", key
                )
        self.test_fraction = check_real("test_fraction", test_fraction, 0, 1)
        if test_fraction in (0, 1):
            raise InputError(f"must lie between 0 and 1, got {test_fraction}", "test_fraction")
        self.image_size: Size | None = None if image_size is None else check_size("image_size", image_size)
        self.resize = check_choice("resize", resize, RESIZES)
        self.channels = None if channels is None else check_channels(channels)

    def load_source(self) -> Source:
        """Read the labels; images are read when they are drawn."""
        dataset = self._given["dataset"]
        labels = _labels(dataset, "dataset")
        names = [str(name) for name in getattr(dataset, "classes", range(int(labels.max()) + 1))]
        first = _pixels(dataset[0][0], "dataset")
        size = self.image_size or min(*first.shape[:2], LARGEST_DEFAULT_SIZE)
        form = Form(size, resize=self.resize, channels=self.channels or (1 if first.ndim == 2 else 3))

        def pool(key: str, members: npt.NDArray[np.int64] | None = None) -> Pool:
            images = self._given[key]
            found = labels if key == "dataset" else _labels(images, key)
            if found.max() >= len(names) or found.min() < 0:
                raise InputError(f"has labels from {found.min()} to {found.max()} for {len(names)} classes", key)
            kept = np.arange(len(found)) if members is None else members
            return Pool(found[kept], lambda wanted: _read(images, kept[wanted], form, key), origins=kept)

        val = None if self._given["val_dataset"] is None else pool("val_dataset")
        if self._given["test_dataset"] is not None:
            train, test = pool("dataset"), pool("test_dataset")
        else:
            parts = stratified_split(labels, self.test_fraction, seed=self.split_seed or 0)
            train, test = (pool("dataset", part) for part in parts)
        return Source(names, train, test, val, val_origin="" if val is None else "own dataset")

    def order_classes(self, available: list[int]) -> list[int]:
        """Return the labels from head to tail: most to fewest images, so that a skewed dataset keeps its head."""
        return head_to_tail(available)


def as_data_module(data: Any) -> LongTailDataModule:
    """Make a data module from a folder of images or a dataset.

    Args:
        data: a data module, which is returned; a folder, see :class:`~oponm.data.ImageFolderLT`; or a dataset, see
            :class:`DatasetLT`.

    Raises:
        InputError: for anything else.

    Example:
        >>> as_data_module("nowhere")
        Traceback (most recent call last):
        oponm.errors.InputError: data is not a folder: nowhere; give a folder of images, a dataset, or a data module ...
    """
    if isinstance(data, LongTailDataModule):
        return data
    if isinstance(data, (str, PathLike)):
        from oponm.data.sources.image_folder import ImageFolderLT

        if not str(data) or not (folder := Path(data).expanduser()).is_dir():
            raise InputError(
                f"is not a folder: {data}; give a folder of images, a dataset, or a data module such as "
                "oponm.data.DigitsLT()",
                "data",
            )
        return ImageFolderLT(folder)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return DatasetLT(data)
    raise InputError(
        f"must be a data module, a folder of images, or a dataset of (image, label), got a {type(data).__name__}",
        "data",
    )


def _labels(dataset: Any, key: str) -> npt.NDArray[np.int64]:
    if not len(dataset):
        raise InputError("holds no image", key)
    given = getattr(dataset, "targets", None)
    try:
        listed = [dataset[i][1] for i in range(len(dataset))] if given is None else given
        labels = np.asarray(listed.cpu() if isinstance(listed, Tensor) else listed)
    except (TypeError, IndexError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"must give an image and its label for an index ({reason})", key) from error
    if labels.shape != (len(dataset),) or labels.dtype.kind not in "iu":
        raise InputError(
            f"must have one whole number as label for each image, got {labels.dtype} of shape {labels.shape}", key
        )
    return labels.astype(np.int64)


def _read(dataset: Any, indices: Sequence[int] | npt.NDArray[np.int64], form: Form, key: str) -> Images:
    _, height, width = form.image_shape
    images = torch.empty(len(indices), *form.image_shape, dtype=torch.uint8)
    for place, index in enumerate(indices):
        picture = Image.fromarray(_pixels(dataset[int(index)][0], key)).convert("L" if form.channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = form.fit(picture)
        images[place] = form.pixels(picture)
    return Images(images, np.arange(len(indices)))


def _pixels(image: Any, key: str) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, 3), uint8."""
    if isinstance(image, Image.Image):
        if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
            raise InputError(f"has images of Pillow's mode {image.mode}: convert them to L or RGB", key)
        image = np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    elif isinstance(image, Tensor):
        if image.is_floating_point():
            if not 0 <= float(image.min()) <= float(image.max()) <= 1:
                raise InputError(
                    f"has images from {float(image.min()):.3g} to {float(image.max()):.3g}, not in [0, 1]: remove "
                    "the normalization from its transforms, as the data module normalizes",
                    key,
                )
            image = (image * 255).round().to(torch.uint8)
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).cpu().numpy()
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise InputError(
            f"has images of {image.dtype} and shape {image.shape}: give Pillow's, uint8 (H, W, 3) of numpy, or "
            "(3, H, W) of torch, uint8 or in [0, 1]",
            key,
        )
    return image
