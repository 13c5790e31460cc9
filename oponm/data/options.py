"""The options that all data modules share."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from typing_extensions import TypedDict

from oponm.data.noise import NoiseFactory


class DataOptions(TypedDict, total=False):
    """The options of :class:`~oponm.data.LongTailDataModule`, which its subclasses pass on."""

    imbalance_ratio: float | None
    profile: str
    draw: str
    draw_seed: int
    batch_size: int
    seed: int
    val: str
    val_size: int | float
    on_duplicate: str
    on_missing_class: str
    statistics: str
    in_memory: bool
    num_workers: int
    augmentation: str | Callable[[tuple[int, int]], nn.Module]
    noise: str | NoiseFactory
    mixing: str | Callable[[list[int]], nn.Module | None]
