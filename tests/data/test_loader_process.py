from __future__ import annotations

import multiprocessing
import signal
import subprocess
import time

import pytest
import torch

from oponm.data.loader import Loader
from oponm.data.samplers import IndexBatch

BATCHES = [IndexBatch(torch.tensor([step]), 0, step) for step in range(8)]
pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system cannot tell who sent a signal")


class Slow(torch.utils.data.Dataset):
    """Read in another process, as it is no set of resident images."""

    def __getitems__(self, batch: IndexBatch) -> int:
        time.sleep(0.05)
        return batch.step


@pytest.fixture
def reading():
    """A loader's iterator that has read its first batch, and the process that reads for it."""
    others = multiprocessing.active_children()
    loader = Loader(Slow(), num_workers=1).over(BATCHES)
    read = iter(loader)
    assert next(read) == 0
    (worker,) = [process for process in multiprocessing.active_children() if process not in others]
    yield read, worker
    worker.terminate()
    worker.join(10)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1", "USR2"])
def test_a_signal_from_elsewhere_costs_no_batch(reading, name):
    read, worker = reading
    subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert list(read) == list(range(1, 8))


def test_the_parent_still_ends_it(reading):
    worker = reading[1]
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0
