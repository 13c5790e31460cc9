"""Finds images that are in two sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oponm.data.pipeline import ImageSet, ResidentImages
from oponm.data.stream import hash_file

Indices = npt.NDArray[np.int64]
_END = 4096  # bytes at the end of a file which differ for most files of one length


def shared_images(one: ImageSet, other: ImageSet) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Find the images that are in both sets: by equal pixels for sets in memory, by equal bytes for files.

    Files are compared by length first, then by their ends, and read completely only if these agree.

    Args:
        one: a set.
        other: a set of the same kind.

    Returns:
        Whether each image of either set is in the other one, (N,) and (M,), bool.

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
    stats = list(images.stats())
    return [(id(images), index) if (stat := stats[index]) is None else stat.length for index in at.tolist()]


def _end(images: Any, at: Indices) -> list[Hashable]:
    def last(file: Path) -> bytes:
        if not isinstance(file, Path):
            return file.read_bytes()[-_END:]
        with file.open("rb") as opened:
            opened.seek(max(file.stat().st_size - _END, 0))
            return opened.read()

    return _of_files(images, at, last)


def _content(images: Any, at: Indices) -> list[Hashable]:
    return _of_files(images, at, hash_file)


def _of_files(images: Any, at: Indices, look: Callable[[Path], Hashable]) -> list[Hashable]:
    """A value for each file; a file that cannot be read equals no other, and its error is raised when it is decoded."""

    def attempt(index: int) -> Hashable:
        try:
            return look(images.files[index])
        except OSError:
            return (id(images), int(index))

    with ThreadPoolExecutor() as threads:
        return list(threads.map(attempt, at))
