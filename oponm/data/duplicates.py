"""Images that are in two sets at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from oponm.data.pipeline import ResidentImages
from oponm.data.stream import ImageSet, hash_file

Indices = npt.NDArray[np.int64]
_END = 4096  # bytes at the end of a file that tell most files of one length apart


def shared_images(one: ImageSet, other: ImageSet) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which images of two sets are in both: the same pixels of what is in memory, the same bytes of what is in files.

    Files are compared by their length first, then by their ends, and read whole only if these agree.

    Args:
        one: a set.
        other: a set that is held in the same way.

    Returns:
        For each image of either set whether it is in the other, (N,) and (M,).

    Example:
        >>> import torch
        >>> pixels = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1)
        >>> one, other = (ResidentImages(pixels[part], torch.zeros(2)) for part in (slice(2), slice(1, 3)))
        >>> shared_images(one, other)
        (array([False,  True]), array([ True, False]))
    """
    sets = (one, other)
    found = [np.arange(len(images)) for images in sets]
    for stage in (_pixels,) if isinstance(one, ResidentImages) else (_length, _end, _content):
        keys = [stage(images, at) for images, at in zip(sets, found, strict=True)]
        common = set(keys[0]) & set(keys[1])
        found = [at[np.array([key in common for key in own], dtype=bool)] for at, own in zip(found, keys, strict=True)]
    masks = [np.isin(np.arange(len(images)), at) for images, at in zip(sets, found, strict=True)]
    return masks[0], masks[1]


def _pixels(images: Any, _: Indices) -> list[Hashable]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images.images.cpu().numpy()]


def _length(images: Any, at: Indices) -> list[Hashable]:
    return _of_files(images, at, lambda file: os.stat(file).st_size)


def _end(images: Any, at: Indices) -> list[Hashable]:
    def last(file: str) -> bytes:
        with open(file, "rb") as opened:
            opened.seek(max(os.stat(file).st_size - _END, 0))
            return opened.read()

    return _of_files(images, at, last)


def _content(images: Any, at: Indices) -> list[Hashable]:
    return _of_files(images, at, hash_file)


def _of_files(images: Any, at: Indices, look: Callable[[str], Hashable]) -> list[Hashable]:
    """What a look at each file gives; one that cannot be read is like no other, and is named when it is decoded."""

    def attempt(index: int) -> Hashable:
        try:
            return look(str(images.files[index]))
        except OSError:
            return (id(images), int(index))

    with ThreadPoolExecutor() as threads:
        return list(threads.map(attempt, at))
