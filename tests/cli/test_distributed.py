"""Two processes that torchrun, or SLURM's srun, has started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oponm.launched import launched_elsewhere
from tests.cli.command import QUICK, files_below, oponm

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
COMMAND = ["-m", "oponm", "train"]
TWO = [*QUICK, "trainer.devices=2", "trainer.accelerator=cpu", "phase_cache=off"]


@pytest.mark.slow
def test_torchrun_runs_a_sweep_in_which_a_job_fails(tmp_path):
    sweep = ["-m", *TWO, "data.imbalance_ratio=0.5,10", "output_dir=sweep"]
    command = [*TORCHRUN, f"--log-dir={tmp_path}/logs", *COMMAND, *sweep]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout.count("balanced accuracy") == 1, done.stderr
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "done"]


@pytest.mark.slow
def test_an_error_of_the_first_process_alone_ends_the_job_in_all(tmp_path):
    """Only it opens loggers; the next job begins in all of them together."""
    sweep = ["-m", *TWO[1:], "trainer.max_epochs=2", "logger=wandb,csv", "output_dir=sweep"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"NETRC": str(tmp_path / "no-netrc")}
    done = subprocess.run(
        [*TORCHRUN, f"--log-dir={tmp_path}/logs", *COMMAND, *sweep],
        **{"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 150},
    )
    assert done.returncode != 0
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "done"], done.stderr
    assert "no API key" in jobs[0]["reason"]


@pytest.mark.slow
def test_the_death_of_one_process_ends_all(tmp_path):
    settings = [*TWO[1:], "trainer.max_epochs=100000", "trainer.checkpoint_every_n_steps=5", "output_dir=run"]
    run = subprocess.Popen([*TORCHRUN, f"--log-dir={tmp_path}/logs", *COMMAND, *settings], cwd=tmp_path)
    deadline = time.monotonic() + 200
    while not (tmp_path / "run/checkpoints/last.ckpt").exists():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listed = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True)
    processes = [int(line) for line in listed.stdout.split()]
    assert len(processes) == 2
    os.kill(processes[1], signal.SIGKILL)
    died = time.monotonic()
    assert run.wait(timeout=100) != 0
    assert time.monotonic() - died < 60
    assert not Path(f"/proc/{processes[0]}").exists()


def test_a_batch_script_is_no_step_of_srun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID", "SLURM_STEPID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert not launched_elsewhere()
    monkeypatch.setenv("SLURM_STEP_ID", "4294967291")
    assert not launched_elsewhere()
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert launched_elsewhere()


def test_a_run_in_a_batch_script_of_several_tasks_is_one_of_one_process(tmp_path):
    slurm = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    done = oponm("train", *QUICK, "phase_cache=off", "output_dir=run", cwd=tmp_path, **slurm)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "codes", "words"),
    [
        ([], (0, 0), ""),
        (["nose=3"], (2, 0), "nose"),
        (["trainer.max_restarts=1"], (2, 2), "trainer.max_restarts must be 0"),
    ],
    ids=str,
)
def test_srun(tmp_path, arguments, codes, words):
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NODELIST": "localhost"}
    slurm |= {"SLURM_STEP_ID": "0"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    tasks = [
        subprocess.Popen(
            [sys.executable, *COMMAND, *TWO, *arguments, "output_dir=run"],
            env={**os.environ, **slurm, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            **pipes,
        )
        for rank in (0, 1)
    ]
    (out, first), (other_out, second) = (task.communicate(timeout=100) for task in tasks)
    assert tuple(task.returncode for task in tasks) == codes, first + second
    said = [line for line in (other_out + second).splitlines() if not line.startswith("[Gloo]")]  # of torch 2.10
    assert said == []  # the first process speaks for all
    assert words in first
    if words:
        assert first.count("\n") == 1
        assert files_below(tmp_path) == set()
    else:
        assert "balanced" in out
        assert (tmp_path / "run/result.json").is_file()
