"""Jobs that a scheduler warns of their end, and runs again."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest
from omegaconf import OmegaConf

from oponm.cli.errors import one_line_errors
from oponm.cli.requeue import resume_if_run_again
from oponm.signals import Stopped
from oponm.training.weights import load_state


@pytest.mark.parametrize(
    ("scontrol", "said"),
    [
        (None, "could not requeue job 7, 'scontrol requeue 7' does (scontrol: No such file or directory)"),
        ("echo no such job >&2; exit 1", "could not requeue job 7, 'scontrol requeue 7' does (scontrol: no such job)"),
        ('echo "$@" > asked', "requeued job 7"),
    ],
    ids=["absent", "failing", "succeeding"],
)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 138), (signal.SIGUSR2, 140)])
def test_slurm_is_asked_to_run_the_job_again(tmp_path, monkeypatch, capsys, scontrol, said, number, code):
    (tmp_path / "bin").mkdir()
    if scontrol:
        stub = tmp_path / "bin/scontrol"
        stub.write_text(f"#!/bin/sh\n{scontrol}\n")
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop, one_line_errors():
        raise Stopped(number, step=5)
    assert stop.value.code == code
    assert capsys.readouterr().err.splitlines()[1] == f"oponm: {said}"
    if scontrol and scontrol.startswith('echo "$@"'):
        assert (tmp_path / "asked").read_text() == "requeue 7\n"


def test_other_signals_ask_for_no_requeue(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(SystemExit), one_line_errors():
        raise Stopped(signal.SIGTERM)
    assert "requeue" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_a_job_that_is_run_again_goes_on(monkeypatch, name):
    monkeypatch.setenv(name, "0")
    assert resume_if_run_again(OmegaConf.create({"resume": None})).resume is None
    monkeypatch.setenv(name, "1")
    assert resume_if_run_again(OmegaConf.create({"resume": None})).resume == "auto"
    assert resume_if_run_again(OmegaConf.create({"resume": "runs/mine"})).resume == "runs/mine"
    assert "resume" not in resume_if_run_again(OmegaConf.create({"seed": 0}))


@pytest.mark.slow
def test_submitit_runs_a_job_again_that_it_has_warned(tmp_path):
    """Its local executor, which does what that of SLURM does, but by starting the job's process anew."""
    command = [sys.executable, "-m", "oponm", "train", "-m", "hydra/launcher=submitit_local", "output_dir=sweep"]
    command += ["seed=3", "trainer.max_epochs=60", "trainer.checkpoint_every_n_steps=5", "phase_cache=off"]
    sweep = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (found := list(tmp_path.glob("sweep/seed*/checkpoints/last.ckpt"))):
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (controller,) = _children(sweep.pid)
    (job,) = _children(controller)
    os.kill(job, signal.SIGUSR2)
    out, errors = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, errors
    assert "1 of 1 runs done" in out
    folder = found[0].parents[1]
    assert load_state(found[0])["epoch"] == 60
    log = (folder / "run.log").read_text()
    assert log.count("resumes at step") == 1
    assert log.count("phase instance from epoch 0") == 2
    told = "".join(file.read_text() for file in (tmp_path / "sweep/.submitit").rglob("*_log.err"))
    assert "stopped by SIGUSR2 with a checkpoint of step" in told


def _children(process: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True)
    return [int(line) for line in listed.stdout.split()]
