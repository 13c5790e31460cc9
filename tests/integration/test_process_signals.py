"""Two processes of a run that a signal, or what the user can mend, ends: at once, whatever may be started anew."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from oponm.signals import Stopped
from oponm.training.launch import explain, read_reason, settled, write_reason
from oponm.training.weights import load_state
from tests.cli.command import oponm

TWO = ["trainer.devices=2", "trainer.accelerator=cpu", "phase_cache=off", "logger=none", "output_dir=run"]
LONG = ["-m", "oponm", "train", *TWO, "trainer.max_epochs=100000", "trainer.checkpoint_every_n_steps=5"]


def until(there: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not there():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def as_from_a_terminal() -> None:
    """Where the tests themselves run under ``nohup``, SIGHUP would be ignored in what they start too."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code", "restarts"), [(signal.SIGUSR1, 138, 1), (signal.SIGTERM, 143, 0)])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, sent, code, restarts):
    command = [sys.executable, *LONG, f"trainer.max_restarts={restarts}"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=as_from_a_terminal)
    until((tmp_path / "run/checkpoints/last.ckpt").exists, run)
    run.send_signal(sent)
    _, errors = run.communicate(timeout=100)
    assert run.returncode == code, errors
    assert (tmp_path / "run/run.log").read_text().count("phase instance from epoch 0") == 1
    step = load_state(tmp_path / "run/checkpoints/last.ckpt")["global_step"]
    said = f"oponm: stopped by {sent.name} with a checkpoint of step {step}: resume=RUN_DIR resumes from it"
    assert [line for line in errors.splitlines() if not line.startswith("epoch ")] == [said]


@pytest.mark.slow
def test_before_there_is_a_checkpoint_nothing_is_said_to_be_kept(tmp_path):
    run = subprocess.Popen([sys.executable, *LONG], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    started = ["pgrep", "-P", str(run.pid), "-f", "spawn_main"]  # both, as one that is just being started complains
    until(lambda: len(subprocess.run(started, capture_output=True).stdout.split()) == 2, run)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=100)
    assert run.returncode == 143, errors
    assert errors == "oponm: stopped by SIGTERM before its first checkpoint: nothing is kept\n"
    assert not (tmp_path / "run").exists()


def test_what_the_user_can_mend_is_not_tried_again(tmp_path):
    diverging = ["optimizer.lr=1e30", "trainer.max_epochs=3", "trainer.max_restarts=2"]
    done = oponm("train", *TWO, *diverging, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("optimizer.lr") == 1
    assert (tmp_path / "run/run.log").read_text().count("phase instance from epoch 0") == 1


@pytest.mark.slow
def test_one_process_is_started_anew_too(tmp_path):
    """It has to be another one than the command's for that."""
    (tmp_path / "mortal.py").write_text(MORTAL)
    settings = ["model=custom", "model._target_=mortal.Net", "trainer.max_epochs=2", "trainer.max_restarts=1"]
    done = oponm("train", *TWO[1:], *settings, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "died").exists()
    assert (tmp_path / "run/result.json").is_file()


MORTAL = """
import os, signal
from pathlib import Path
from oponm.models import SmallCNN


class Net(SmallCNN):
    def __init__(self, **sizes):
        super().__init__(**sizes)
        if not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_bad_input_comes_before_the_signal_that_ended_the_others(tmp_path):
    write_reason(tmp_path, 0, 143, "stopped by SIGTERM", 3)
    write_reason(tmp_path, 1, 2, "disk full")
    assert read_reason(tmp_path)["message"] == "disk full"
    assert settled(tmp_path)
    (tmp_path / "reason-1.json").unlink()
    assert not settled(tmp_path)
    assert read_reason(tmp_path) is None


def test_a_process_that_died_is_the_reason_though_the_other_one_stopped_in_time(tmp_path):
    """The one left may finish its step and write a checkpoint before the agent ends it by SIGTERM."""
    write_reason(tmp_path, 0, 143, "stopped by SIGTERM", 10)
    death = ProcessFailure(local_rank=1, pid=1, exitcode=-9, error_file="none")
    with pytest.raises(ChildProcessError, match="process 1 of the run ended with code -9; resume=RUN_DIR"):
        explain(tmp_path, ChildFailedError("run", {1: death}))
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        explain(tmp_path)
