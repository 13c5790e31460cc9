"""One run in two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.cli.command import QUICK, oponm
from tests.cli.runs import confusions

TWO = ["trainer.devices=2", "trainer.accelerator=cpu", "phase_cache=off"]


def test_two_processes_train_one_run(tmp_path):
    (tmp_path / "scratch").mkdir()
    arguments = ["train", *TWO, "trainer.max_epochs=4", "output_dir=run"]
    done = oponm(*arguments, cwd=tmp_path, TMPDIR=str(tmp_path / "scratch"))
    assert done.returncode == 0, done.stderr
    left = [path.name for path in (tmp_path / "scratch").iterdir()]
    assert [name for name in left if not name.startswith("torchinductor_")] == []  # torch's cache, one a user
    others = [line for line in done.stderr.splitlines() if not line.startswith("epoch ")]
    assert (done.stdout.count("balanced accuracy"), others) == (1, [])
    assert (tmp_path / "run/run.log").read_text().count("phase instance from epoch 0") == 1
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert [sum(row) for row in confusions(tmp_path / "run")] == result["test_counts"]
    with (tmp_path / "run/metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "4"]


@pytest.mark.slow
def test_a_sweep_trains_one_job_after_another(tmp_path):
    done = oponm("train", "-m", *TWO, *QUICK, "seed=0,1", "output_dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["done", "done"]
    assert len(list((tmp_path / "sweep").glob("*/result.json"))) == 2


@pytest.mark.slow
def test_synchronized_they_train_what_one_process_does(tmp_path):
    plain = [
        "method=erm",
        "norm=dar",
        "trainer.precision=64-true",
        *QUICK,
        "trainer.accelerator=cpu",
        "phase_cache=off",
    ]
    both, files = {}, {}
    for name, own in {"one": [], "two": ["trainer.devices=2", "trainer.sync_batchnorm=true"]}.items():
        done = oponm("train", *plain, *own, f"output_dir={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        files[name] = [(tmp_path / name / file).read_text() for file in ("split.csv", "test_predictions.csv")]
        both[name] = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert files["one"] == files["two"]
    assert both["one"].keys() == both["two"].keys()
    assert any("running_var" in key for key in both["one"])
    for key, tensor in both["one"].items():
        torch.testing.assert_close(both["two"][key], tensor, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_a_job_that_a_launcher_runs_has_processes_of_its_own(tmp_path):
    arguments = ["-m", *TWO, *QUICK, "hydra/launcher=joblib", "seed=3", "output_dir=sweep"]
    done = oponm("train", *arguments, cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stderr
    (job,) = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert job["status"] == "done"
    assert (tmp_path / "sweep" / job["folder"] / "result.json").is_file()


@pytest.mark.skipif("OPONM_SLOW_TESTS" not in os.environ, reason="half a minute of two cores")
def test_eight_processes_train_one_run(tmp_path):
    done = oponm("train", *TWO, "trainer.devices=8", *QUICK, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert [sum(row) for row in confusions(tmp_path / "run")] == result["test_counts"]


@pytest.mark.slow
def test_a_process_that_dies_ends_all_and_is_started_anew_if_asked(tmp_path):
    command = [sys.executable, "-m", "oponm", "train", *TWO, "trainer.max_epochs=5000", "output_dir=run"]
    command += ["trainer.max_restarts=1", "trainer.checkpoint_every_n_steps=5"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    first = _workers_that_wrote(checkpoint, run, others_than=set())
    os.kill(max(first), signal.SIGKILL)
    second = _workers_that_wrote(checkpoint, run, others_than=first)
    os.kill(max(second), signal.SIGKILL)
    died = time.monotonic()
    _, errors = run.communicate(timeout=100)
    assert run.returncode == 1, errors
    assert time.monotonic() - died < 60
    assert "resume=RUN_DIR" in errors.splitlines()[-1]


def _workers_that_wrote(checkpoint, run, others_than):
    """Process ids of the two workers, once they have written a checkpoint."""
    deadline, written, seen = time.monotonic() + 120, 0, set()
    while time.monotonic() < deadline:
        assert run.poll() is None, run.communicate()
        listed = subprocess.run(["pgrep", "-P", str(run.pid), "-f", "spawn_main"], capture_output=True, text=True)
        workers = set(map(int, listed.stdout.split())) - others_than
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        if len(workers) == 2 and workers == seen and now > written:
            return workers
        if workers != seen:  # what was written before these began is not theirs
            seen, written = workers, now
        time.sleep(0.02)
    raise AssertionError("no two workers wrote a checkpoint in two minutes")
