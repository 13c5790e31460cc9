"""Decoding processes end with their loader, without the garbage collector: it makes the DataLoader wait for each."""

from __future__ import annotations

import gc
import multiprocessing

import pytest
import torch

from oponm.data.loader import Loader
from oponm.data.pipeline import RawBatch
from oponm.data.samplers import IndexBatch
from oponm.errors import InputError

BATCHES = [IndexBatch(torch.tensor([step]), 0, step) for step in range(4)]


class Images(torch.utils.data.Dataset):
    """Read in another process, as it is no set of resident images; the batch of one step is damaged."""

    def __init__(self, damaged: int = -1) -> None:
        self.damaged = damaged

    def __getitems__(self, batch: IndexBatch) -> RawBatch:
        if batch.step == self.damaged:
            raise InputError("cannot be read", "a.png")
        return RawBatch(torch.full((2, 1, 4, 4), batch.step, dtype=torch.uint8), torch.tensor([0, 1]), 0, batch.step)


@pytest.fixture
def started():
    """A function that returns the processes started since; the garbage collector is off."""
    gc.collect()
    before = {process.pid for process in multiprocessing.active_children()}
    gc.disable()
    yield lambda: {process.pid for process in multiprocessing.active_children()} - before
    gc.enable()


def test_a_loader_that_is_dropped_ends_its_processes(started):
    loader = Loader(Images(), num_workers=1).over(BATCHES)
    assert [raw.step for raw in loader] == [0, 1, 2, 3]
    assert len(started()) == 1
    del loader
    assert started() == set()


def test_a_loader_of_a_trainer_that_is_closed_ends_its_processes(started):
    loader = Loader(Images(), num_workers=1).by_epoch(lambda epoch: BATCHES[epoch:])
    loader.sampler.set_epoch(2)
    assert [raw.step for raw in loader] == [2, 3]
    assert len(started()) == 1
    loader.close()
    assert started() == set()


def test_a_damaged_file_ends_the_processes_and_the_next_epoch_starts_new_ones(started):
    images = Images(damaged=2)
    loader, read = Loader(images, num_workers=1).over(BATCHES), []
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        read.extend(raw.step for raw in loader)
    assert started() == set()
    images.damaged = -1
    assert [raw.step for raw in loader] == [0, 1, 2, 3]
    assert len(started()) == 1
    loader.close()
    assert started() == set()
