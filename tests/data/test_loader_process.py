from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import torch

from oponm.data.loader import DecodingFailed, Loader
from oponm.data.pipeline import RawBatch
from oponm.data.samplers import IndexBatch

BATCHES = [IndexBatch(torch.tensor([step]), 0, step) for step in range(8)]
pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system cannot tell who sent a signal")


class Slow(torch.utils.data.Dataset):
    """Read in another process, as it is no set of resident images."""

    def __getitems__(self, batch: IndexBatch) -> RawBatch:
        time.sleep(0.05)
        return RawBatch(torch.full((2, 1, 4, 4), batch.step, dtype=torch.uint8), torch.tensor([0, 1]), 0, batch.step)


@pytest.fixture
def reading():
    """A loader's iterator that has read its first batch, and the process that reads for it."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler, if a loader of another test has set it
    others = multiprocessing.active_children()
    loader = Loader(Slow(), num_workers=1).over(BATCHES)
    read = iter(loader)
    assert next(read).step == 0
    (worker,) = [process for process in multiprocessing.active_children() if process not in others]
    yield read, worker
    worker.terminate()
    worker.join(10)
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1", "USR2"])
def test_a_signal_from_elsewhere_costs_no_batch(reading, name):
    read, worker = reading
    subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert [batch.step for batch in read] == list(range(1, 8))


def test_the_parent_still_ends_it(reading):
    worker = reading[1]
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_the_death_of_a_process_ends_the_reading_and_nothing_else(reading):
    """As when memory runs out: no error wherever the program happens to be, but one where its batch is missing."""
    read, worker = reading
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert sum(range(1000)) == 499500
    started = time.monotonic()
    with pytest.raises(DecodingFailed, match=r"num_workers lost one .*/dev/shm.* --shm-size"):
        list(read)
    assert time.monotonic() - started < 60


def test_where_shared_memory_is_full_batches_come_through_a_pipe(monkeypatch, caplog):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)  # in the processes too, which are forked off this one
    monkeypatch.setattr(Loader, "_said", False)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            read = list(Loader(Slow(), num_workers=2).over(BATCHES))
            assert [int(batch.images[0, 0, 0, 0]) for batch in read] == [batch.step for batch in read] == list(range(8))
            assert all(isinstance(batch.targets, torch.Tensor) for batch in read)
    assert [record.message for record in caplog.records if "/dev/shm" in record.message] == [
        "shared memory (/dev/shm) is full, so batches come through a pipe, more slowly: data.num_workers=N with fewer "
        "processes needs less, --shm-size=2g gives a container more"
    ]
