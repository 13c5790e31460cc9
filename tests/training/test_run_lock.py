from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, LOCK_FILE
from oponm.training import fit, run_lock
from oponm.training.run_lock import sole_use

HOLD = """
import os, sys, time
from filelock import FileLock

with FileLock(sys.argv[1]):
    with open(sys.argv[1], "w") as file:
        file.write(f"{os.getpid()} on this machine")
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder, as a run would."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / LOCK_FILE)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_named_and_a_killed_one_lets_go(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(run_lock, "WAIT", 0.2)
    with pytest.raises(InputError) as refused, sole_use(tmp_path, begun=False):
        pass
    assert refused.value.key == "output_dir"
    assert str(tmp_path) in refused.value.message
    assert f"process {holder.pid} on " in refused.value.message
    holder.kill()
    holder.wait()
    with sole_use(tmp_path, begun=False):
        assert (tmp_path / LOCK_FILE).read_text().startswith(f"{os.getpid()} on ")


def test_it_waits_for_one_that_is_about_to_end(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(run_lock, "log", _EndsAt(holder))
    started = time.perf_counter()
    with sole_use(tmp_path, begun=False):
        assert time.perf_counter() - started < run_lock.WAIT


class _EndsAt:
    """A log whose first line ends a process."""

    def __init__(self, process) -> None:
        self.process = process

    def warning(self, *line) -> None:
        self.process.kill()


def test_a_run_does_not_begin_in_the_folder_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "WAIT", 0.1)
    with FileLock(tmp_path / LOCK_FILE), pytest.raises(InputError, match="is in use by process"):
        fit(DigitsLT(imbalance_ratio=50), max_epochs=2, output_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    fit(DigitsLT(imbalance_ratio=50), max_epochs=2, output_dir=tmp_path)  # nothing has begun there


def test_a_run_begun_while_this_one_waited_is_not_overwritten(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("seed: 0")
    with pytest.raises(InputError, match="now holds a run"), sole_use(tmp_path, begun=False):
        pass
    with sole_use(tmp_path, begun=True):
        pass


def test_a_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch, caplog):
    def acquire(lock, timeout):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with sole_use(tmp_path, begun=False):
        pass
    assert "No locks available" in caplog.text
