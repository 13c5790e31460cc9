"""Loaders that stay: the batches change from epoch to epoch, the processes that decode them do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from oponm.data.loader_process import leave_signals_to_parent, processes_without_signals
from oponm.data.pipeline import RawBatch, ResidentImages
from oponm.data.samplers import EpochBatches, IndexBatch

Batches = EpochBatches | Sequence[IndexBatch]


class Loader(Iterable[RawBatch]):
    """Reads the batches that it was last told of.

    Images held in memory are read where they are. Others are read by a ``DataLoader`` that is made at the first batch
    and kept, with its processes: the image set is sent to them once, and an epoch begins without starting any. Nothing
    is asked of them before the first batch is, however often Lightning makes an iterator.

    Args:
        images: what to read from.
        num_workers: processes that decode; 0 decodes in this one.
        pin_memory: put batches where an accelerator can fetch them while it computes.

    Example:
        >>> data = ResidentImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4))
        >>> loader = Loader(data)
        >>> for epoch in range(2):
        ...     batches = [IndexBatch(torch.tensor([2 + epoch]), epoch, step=0)]
        ...     [raw.targets.tolist() for raw in loader.over(batches)]
        [[2]]
        [[3]]
    """

    def __init__(
        self,
        images: torch.utils.data.Dataset[RawBatch],
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.images, self.num_workers, self.pin_memory = images, num_workers, pin_memory
        self.batches: Batches = []
        self._reader: DataLoader[RawBatch] | None = None

    def over(self, batches: Batches) -> Loader:
        """Read these batches from now on; returns itself."""
        self.batches = batches
        return self

    def close(self) -> None:
        """Let the processes go; another iteration starts new ones."""
        self._reader = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[RawBatch]:
        if isinstance(self.images, ResidentImages):
            yield from map(self.images.__getitems__, self.batches)
            return
        if self._reader is None:
            self._reader = DataLoader(
                self.images,
                batch_sampler=_BatchesOf(self),  # type: ignore[arg-type]
                collate_fn=_as_it_is,
                num_workers=self.num_workers,
                pin_memory=self.pin_memory,
                persistent_workers=self.num_workers > 0,
                worker_init_fn=leave_signals_to_parent,
            )
        with processes_without_signals():
            batches = iter(self._reader)
        yield from batches


class _BatchesOf:
    """What a ``DataLoader`` takes for its one batch sampler: the batches that the loader has at the time."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[IndexBatch]:
        return iter(self.loader.batches)

    def __len__(self) -> int:
        return len(self.loader)


def _as_it_is(batch: Any) -> Any:
    return batch
