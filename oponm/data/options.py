"""The options that all data modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn
from typing_extensions import TypedDict

from oponm.data.noise import NoiseFactory
from oponm.data.statistics import Statistics


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
    """Those of :class:`~oponm.data.sources.own_files.OwnFilesLT`, but ``root`` and ``image_size``."""

    test_fraction: float
    folds: int | None
    fold: int | None
    groups: str | None
    split: str | Path | None
    on_error: str
    pack: str | Path | None
    pack_size: int | None
    pixel_max: float | None
