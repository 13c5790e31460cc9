"""Examines a sample of a set's files before they are decoded: their sizes, and the value of white."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median_low
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from oponm.data.decode import is_deep, opened, white
from oponm.data.sources.base import Files
from oponm.errors import InputError

HEADERS, DECODED = 1000, 200  # files opened, and files of more than 8 bits decoded
LARGEST_DEFAULT_SIZE = 224
MOST_APART = 4
_UPPER_BITS = 63  # Pillow keeps the upper 8 of 16 bits per channel: values up to this come from 14 bits or fewer
_NO_WHITE_BELOW = 64  # a largest float above 1 and below this fits neither 0..1 nor 0..255
Found = TypeVar("Found")


class Sample(NamedTuple):
    """Findings about a sample of files, which are spread evenly over a set.

    Attributes:
        sizes: (width, height) in pixels of each image that can be opened.
        pixel_max: the value that counts as white in images of more than 8 bits; None if it is not given and the sample
            has no such images.
        pixels: description of ``pixel_max`` and its origin, as text; empty if the sample has no such images.
    """

    sizes: list[tuple[int, int]]
    pixel_max: float | None
    pixels: str

    def default_size(self) -> int:
        """Return the median short side in pixels, 224 at most; 0 if no image can be opened.

        Example:
            >>> Sample([(3000, 6), (640, 480), (480, 640)], None, "").default_size()
            224
        """
        return min(median_low([min(size) for size in self.sizes] or [0]), LARGEST_DEFAULT_SIZE)

    def apart(self) -> str:
        """Describe the sides of the images if the longest is more than four times the shortest; empty if not.

        Example:
            >>> Sample([(3000, 6), (640, 480)], None, "").apart()
            'sides from 6 to 3000 pixels'
        """
        sides = [side for size in self.sizes for side in size]
        differ = bool(sides) and max(sides) > MOST_APART * min(sides)
        return f"sides from {min(sides)} to {max(sides)} pixels" if differ else ""


class _Header(NamedTuple):
    size: tuple[int, int]
    deep: bool
    cut: bool  # to 8 bits by Pillow


def sample_files(files: Files, pixel_max: float | None = None) -> Sample:
    """Open up to 1,000 files of a set, and decode up to 200 of those with more than 8 bits.

    Args:
        files: paths, (N,); unreadable ones are ignored here, as decoding names them.
        pixel_max: the value that counts as white; None guesses it from the largest value in the sample.

    Raises:
        InputError: for floats whose largest value, such as 2, does not show which value is white; for color images of
            fewer than 15 bits in 16-bit files, whose values Pillow would reduce to almost 0; or for a set with both
            floats and whole numbers of more than 8 bits.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "scan.png")
        >>> Image.new("I;16", (20, 10), 4000).save(file)
        >>> sample_files(np.array([file])).pixel_max
        4095
    """
    headers = _each(_header, chosen := [files[index] for index in _spread(len(files), HEADERS)])
    sizes = [header.size for header in headers if header]
    deep = [file for file, header in zip(chosen, headers, strict=True) if header and header.deep]
    cut = [file for file, header in zip(chosen, headers, strict=True) if header and header.cut]
    _check_cut(cut)
    if not deep:
        return Sample(sizes, pixel_max, "")
    if pixel_max is not None:
        return Sample(sizes, pixel_max, f"of more than 8 bits, {pixel_max:g} is white, as data.pixel_max says")
    looked_at = [found for found in _each(_largest, [deep[i] for i in _spread(len(deep), DECODED)]) if found]
    kinds = {floating for _, floating in looked_at}
    if len(kinds) > 1:
        raise InputError(f"{deep[0]}: some images hold floats, others whole numbers of more than 8 bits: convert them")
    if not kinds:
        return Sample(sizes, None, "")
    largest = max(value for value, _ in looked_at)
    if not 0 <= largest <= 65535:
        return Sample(sizes, None, "")  # decoding refuses such files and names them
    floating = kinds.pop()
    if floating and 1 < largest < _NO_WHITE_BELOW:
        raise InputError(
            f"must be set to the value of white: the largest value in {len(looked_at)} images of floats is "
            f"{largest:g}, which fits neither 0 to 1 nor 0 to 255",
            "pixel_max",
        )
    level = white(largest, floating)
    what = f"of more than 8 bits, {level:g} is taken as white: the largest value in {len(looked_at)} of them is"
    return Sample(sizes, level, f"{what} {largest:g}; data.pixel_max sets another value")


def _spread(length: int, number: int) -> list[int]:
    """Indices spread evenly over a length."""
    indices: npt.NDArray[np.int64] = np.unique(np.linspace(0, max(length - 1, 0), min(length, number)).astype(int))
    return indices.tolist()


def _each(look: Callable[[Path], Found], files: list[Path]) -> list[Found | None]:
    def attempt(file: Path) -> Found | None:
        with suppress(Exception):
            return look(file)
        return None

    with ThreadPoolExecutor() as threads:
        return list(threads.map(attempt, files))


def _header(file: Path) -> _Header:
    with opened(file) as image:
        cut = not is_deep(image) and any(";16" in str(part[3]) for part in getattr(image, "tile", []))
        return _Header(image.size, is_deep(image), cut)


def _largest(file: Path) -> tuple[float, bool]:
    with opened(file) as image:
        values = np.asarray(image)
    return float(values.max()), values.dtype.kind == "f"


def _check_cut(files: list[Path]) -> None:
    looked_at = [found for found in _each(_largest, [files[i] for i in _spread(len(files), DECODED)]) if found]
    if looked_at and 0 < max(value for value, _ in looked_at) <= _UPPER_BITS:
        raise InputError(
            f"{files[0]}: has 16 bits per channel, but values of 14 bits at most; Pillow reads the upper 8 bits, so "
            "these images would be almost black: convert them to 8 bits"
        )
