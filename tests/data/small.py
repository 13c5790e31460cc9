"""Digits, and a made-up data set, as data modules for tests."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from oponm.data import DigitsLT, LongTailDataModule, Source
from oponm.data.augmentation import flip_crop
from oponm.data.image_data import EpochInput
from oponm.data.pipeline import RawBatch
from oponm.data.sources.base import Images, Pool
from oponm.noise import Batch

PLAIN, OPEN = EpochInput(), EpochInput("class_balanced", noise=True)


def digits(**options) -> DigitsLT:
    data = DigitsLT(**{"imbalance_ratio": 50, "augmentation": partial(flip_crop, padding=1), **options})
    data.setup()
    return data


def at_epoch(data: LongTailDataModule, epoch: int, training: bool = True, rank: int = 0) -> LongTailDataModule:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(
        world_size=1, current_epoch=epoch, training=training, global_rank=rank, strategy=strategy
    )
    return data


def epoch_of(data: LongTailDataModule, epoch: int = 0, given: EpochInput | None = None) -> list[RawBatch]:
    if given is not None:
        data.epoch_input = lambda _: given
    return list(at_epoch(data, epoch).train_dataloader())


def same(one: Batch | RawBatch, other: Batch | RawBatch) -> bool:
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True))


class Tiny(LongTailDataModule):
    """Twelve pixels of three classes, of which some cannot be read."""

    def __init__(self, unreadable: tuple[int, ...] = (), **options) -> None:
        super().__init__(**options)
        self.unreadable, self.asked = unreadable, []

    def load_source(self) -> Source:
        labels = np.array([0] * 6 + [1] * 4 + [2] * 2)

        def read(wanted: np.ndarray) -> Images:
            self.asked.append(wanted.tolist())
            kept = np.flatnonzero(~np.isin(wanted, self.unreadable))
            return Images(torch.from_numpy(wanted[kept]).to(torch.uint8).view(-1, 1, 1, 1), kept)

        test = Pool(np.array([0, 1, 2]), lambda wanted: Images(torch.zeros(3, 1, 1, 1).byte(), np.arange(3)))
        return Source(["a", "b", "c"], Pool(labels, read), test, skipped=[str(index) for index in self.unreadable])
