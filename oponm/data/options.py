"""The options that all data modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from typing_extensions import TypedDict

from oponm.data.decode import Size
from oponm.data.noise import NoiseFactory
from oponm.data.statistics import Statistics
from oponm.errors import InputError, check_int


class DataOptions(TypedDict, total=False):
    """The options of :class:`~oponm.data.LongTailDataModule`, which its subclasses pass on."""

    imbalance_ratio: float | None
    profile: str
    draw: str
    draw_seed: int
    split_seed: int | None
    batch_size: int
    seed: int
    val: str
    val_size: int | float
    on_duplicate: str
    on_missing_class: str
    statistics: str | Statistics | Mapping[str, Sequence[float]]
    in_memory: bool
    num_workers: int
    augmentation: str | Callable[[tuple[int, int]], nn.Module]
    noise: str | NoiseFactory
    mixing: str | Callable[[list[int]], nn.Module | None]


class FileOptions(DataOptions, total=False):
    """The options of :class:`~oponm.data.sources.own_files.OwnFilesLT`, except ``root`` and ``image_size``."""

    resize: str
    channels: int
    test_fraction: float
    folds: int | None
    fold: int | None
    groups: str | None
    split: str | Path | None
    on_error: str
    pack: str | Path | None
    pack_size: int | None
    pixel_max: float | None


def check_size(key: str, value: Any) -> Size:
    """Return a size of images as the side of a square, or (height, width).

    Args:
        key: name of the config key, for errors.
        value: a whole number of pixels, at least 4, or two of them.

    Raises:
        InputError: for anything else.

    Example:
        >>> check_size("image_size", 32), check_size("image_size", [64, 96]), check_size("image_size", [8, 8])
        (32, (64, 96), 8)
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise InputError(f"must be a side in pixels, or [height, width], got {value}", key)
        height, width = (check_int(key, side, minimum=4) for side in value)
        return height if height == width else (height, width)
    return check_int(key, value, minimum=4)


def check_channels(channels: int) -> int:
    """Return ``channels`` if it is a valid number of color channels.

    Raises:
        InputError: if it is neither 1 nor 3.

    Example:
        >>> check_channels(1)
        1
    """
    if isinstance(channels, bool) or channels not in (1, 3):
        raise InputError(f"must be 3, or 1 for gray images, got {channels!r}", "channels")
    return channels
