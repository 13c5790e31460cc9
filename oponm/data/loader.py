"""Persistent loaders: batches change from epoch to epoch, the decoding processes stay."""

from __future__ import annotations

import logging
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from oponm.data.loader_process import leave_signals_to_parent, processes_without_signals, reported_by_the_reader
from oponm.data.pipeline import RawBatch, ResidentImages
from oponm.data.samplers import EpochBatches, IndexBatch
from oponm.errors import InputError

log = logging.getLogger(__name__)

Batches = EpochBatches | Sequence[IndexBatch]
_TENSORS = ("images", "targets")  # tensors of a RawBatch
_MAKE_ROOM = "data.num_workers=N with fewer processes needs less, --shm-size=2g gives a container more"


class DecodingFailed(InputError):
    """The error for a decoding process that was killed, for example because memory ran out."""

    def __init__(self) -> None:
        super().__init__(
            "lost one of the processes that decode: it was killed, most likely because memory or /dev/shm ran out; "
            "take fewer, or a smaller data.batch_size, and give a container more with --memory and --shm-size",
            "data.num_workers",
        )


class Loader(Iterable[RawBatch]):
    """Reads the batches given by the last call of :meth:`over` or :meth:`by_epoch`.

    Images in memory are read directly. Others are read by a ``DataLoader`` that is made at the first batch and kept,
    with its processes: they receive the image set once, and no process is started at the beginning of an epoch. The
    processes read nothing before the first batch is requested, however often Lightning makes an iterator. No reference
    cycle holds the ``DataLoader``: the garbage collector would free it in an order in which it waits five seconds for
    each of its processes, in vain.

    Args:
        images: the set to read from.
        num_workers: number of processes that decode; 0 decodes in this process.
        pin_memory: whether to put batches into pinned memory, which an accelerator reads while it computes.

    Attributes:
        batches: the batches of the epoch.
        ahead: iterator over the batches of the epoch that have not been requested yet.

    Example:
        >>> data = ResidentImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4))
        >>> loader = Loader(data)
        >>> for epoch in range(2):
        ...     batches = [IndexBatch(torch.tensor([2 + epoch]), epoch, step=0)]
        ...     [raw.targets.tolist() for raw in loader.over(batches)]
        [[2]]
        [[3]]
    """

    _said = False

    def __init__(
        self,
        images: torch.utils.data.Dataset[RawBatch],
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.images, self.num_workers, self.pin_memory = images, num_workers, pin_memory
        self.batches: Batches = []
        self.ahead: Iterator[IndexBatch] = iter(())
        self._read = self._read_before = 0
        self._batches_of: Callable[[int], Batches] | None = None
        self._reader: DataLoader[RawBatch] | None = None

    def over(self, batches: Batches) -> Loader:
        """Read these batches from now on, in every epoch; return the loader.

        Args:
            batches: indices of the images of each batch: an ``EpochBatches``, or a sequence of ``IndexBatch``.
        """
        self.batches, self._batches_of = batches, None
        return self

    def by_epoch(self, batches_of: Callable[[int], Batches]) -> Loader:
        """Read the batches of the trainer's epoch from now on; return the loader.

        Args:
            batches_of: function from a zero-based epoch to its batches.
        """
        self._batches_of = batches_of
        self.sampler = self.batch_sampler = weakref.proxy(self)  # where Lightning looks for set_epoch
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the zero-based epoch; the trainer calls it at the start of each epoch."""
        if self._batches_of:
            self.batches = self._batches_of(epoch)

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the epoch have been read."""
        return {"read": self._read}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip, in the next epoch, as many batches as ``state`` counts as read; none if these are the full epoch."""
        self._read_before = state["read"] % max(len(self), 1)

    def close(self) -> None:
        """Stop the decoding processes; another iteration starts new ones."""
        self._reader = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[RawBatch]:
        self._read, self._read_before = self._read_before, 0
        self.ahead = islice(self.batches, self._read, None)
        for batch in self._all():
            self._read += 1
            yield batch

    def _all(self) -> Iterator[RawBatch]:
        if isinstance(self.images, ResidentImages):
            yield from map(self.images.__getitems__, self.ahead)
            return
        if self._reader is None:
            self._reader = DataLoader(
                self.images,
                batch_sampler=_BatchesOf(self),  # type: ignore[arg-type]
                collate_fn=_handed_over,  # type: ignore[arg-type]
                num_workers=self.num_workers,
                pin_memory=self.pin_memory,
                persistent_workers=self.num_workers > 0,
                worker_init_fn=leave_signals_to_parent,
            )
        batches: Iterator[Any] = iter(())
        try:
            with processes_without_signals(), reported_by_the_reader():
                batches = iter(self._reader)
            for batch in batches:
                if not isinstance(batch.images, Tensor):
                    self._say_that_memory_is_full()
                    batch = batch._replace(**{name: torch.from_numpy(getattr(batch, name)) for name in _TENSORS})
                yield batch
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they form a cycle with the error, and hold the DataLoader
            del batches
            self.close()
            if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
                raise DecodingFailed from error
            raise

    def _say_that_memory_is_full(self) -> None:
        if not self._said:
            log.warning("shared memory (/dev/shm) is full, so batches come through a pipe, more slowly: %s", _MAKE_ROOM)
        Loader._said = True  # once in a program


class _BatchesOf:
    """The batch sampler of the ``DataLoader``: it yields the batches that the loader has not read yet."""

    def __init__(self, loader: Loader) -> None:
        self.loader = weakref.proxy(loader)

    def __iter__(self) -> Iterator[IndexBatch]:
        ahead: Iterator[IndexBatch] = self.loader.ahead
        return ahead

    def __len__(self) -> int:
        return len(self.loader)


def _handed_over(batch: RawBatch) -> Any:
    """Put a batch into shared memory for the process that asked for it, here, where a failure can be handled."""
    if get_worker_info() is None:
        return batch
    tensors = {name: getattr(batch, name) for name in _TENSORS}
    try:
        return batch._replace(**{name: tensor.share_memory_() for name, tensor in tensors.items()})
    except RuntimeError:
        return batch._replace(**{name: tensor.numpy() for name, tensor in tensors.items()})
