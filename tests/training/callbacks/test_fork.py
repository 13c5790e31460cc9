"""Several processes at a phase that another run trains: they wait for it together, for however long it takes."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from oponm.signals import Stopped
from oponm.training import Phase, PhaseCache, PhasePlan
from oponm.training.callbacks import fork
from oponm.training.callbacks.checkpoint import state_of
from tests.processes import spawn

TIMEOUT, HELD = 2.0, 4.0  # of the process group; by the other run, from when both processes are there
SAVED = {"best": None, "seconds": 8.0, "reused": None, "ended": False, "history": []}
STORED = {"epoch": 2, "best": None, "callbacks": {"Checkpoints": SAVED}, "training": {}}


def enter(folder: Path, stop: int | None = None) -> fork.Fork:
    fork.phase_key = lambda module, data, trainer, epoch, options, callbacks: f"after-{epoch}"
    module = SimpleNamespace(
        seed=0, plan=PhasePlan([Phase(2), Phase(2, "class_balanced")], 4), model=torch.nn.Identity()
    )
    checkpoints = SimpleNamespace(stop=SimpleNamespace(received=stop), state_key="Checkpoints", started=0.0)
    return fork.Fork(PhaseCache(folder), module, None, None, checkpoints).__enter__()


def work(rank: int, folder: Path, case: str) -> None:
    torch.set_num_threads(1)
    timeout = timedelta(seconds=TIMEOUT)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timeout)
    (folder / f"there-{rank}").touch()
    phases = folder / ("elsewhere" if case == "unshared" and rank == 1 else "phases")
    try:
        entered = enter(phases, stop=signal.SIGTERM if case == "stopped" and rank == 0 else None)
        told = entered.state and state_of(entered.state)["reused"]["epochs"]
        (folder / f"said-{rank}").write_text(f"{told}")
        dist.barrier()
    except Stopped as stopped:
        (folder / f"said-{rank}").write_text(stopped.signal.name)
    dist.destroy_process_group()


def said(folder: Path) -> list[str]:
    return [(folder / f"said-{rank}").read_text() for rank in range(2)]


@pytest.mark.parametrize(("case", "expected"), [("stored", "2"), ("given up", "None"), ("stopped", "SIGTERM")])
def test_they_wait_longer_than_their_own_timeout(tmp_path, case, expected):
    cache = PhaseCache(tmp_path / "phases")
    with cache.training("after-2"):
        processes = spawn(work, (tmp_path, case), 2, join=False)
        deadline = time.monotonic() + 120
        while not all((tmp_path / f"there-{rank}").exists() for rank in range(2)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if case != "stopped":
            time.sleep(HELD)
            assert not list(tmp_path.glob("said-*"))
            if case == "stored":
                cache.save("after-2", STORED)
        else:
            processes.join()
    while not processes.join():
        pass
    assert said(tmp_path) == [expected] * 2


def test_what_only_one_of_them_can_read_none_of_them_uses(tmp_path):
    PhaseCache(tmp_path / "phases").save("after-2", STORED)
    spawn(work, (tmp_path, "unshared"), 2)
    assert said(tmp_path) == ["None"] * 2


def test_to_wait_is_not_to_train(tmp_path):
    cache = PhaseCache(tmp_path)
    with ThreadPoolExecutor() as pool:
        with cache.training("after-2"):
            entered = pool.submit(enter, tmp_path)
            time.sleep(1.5)
            cache.save("after-2", STORED)
        assert 1 < entered.result(timeout=60).checkpoints.started < 60
    assert enter(tmp_path).checkpoints.started == 0


def test_a_signal_ends_the_wait_of_a_single_process(tmp_path):
    with PhaseCache(tmp_path).training("after-2"), pytest.raises(Stopped):
        enter(tmp_path, stop=signal.SIGTERM)


@pytest.fixture(autouse=True)
def the_key_stays(monkeypatch):
    monkeypatch.setattr(fork, "phase_key", fork.phase_key)
