"""Two processes that torchrun, or SLURM's srun, has started."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.command import QUICK, files_below

COMMAND = ["-m", "oponm", "train"]
TWO = [*QUICK, "trainer.devices=2", "trainer.accelerator=cpu", "phase_cache=off"]


def test_torchrun_runs_a_sweep_in_which_a_job_fails(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--log-dir={tmp_path}/logs"]
    sweep = ["-m", *TWO, "data.imbalance_ratio=0.5,10", "output_dir=sweep"]
    done = subprocess.run([sys.executable, *launcher, *COMMAND, *sweep], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout.count("balanced accuracy") == 1, done.stderr
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "done"]


@pytest.mark.parametrize(
    ("arguments", "codes", "words"),
    [
        ([], (0, 0), ""),
        (["nose=3"], (2, 0), "nose"),
    ],
    ids=str,
)
def test_srun(tmp_path, arguments, codes, words):
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NODELIST": "localhost"}
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
    assert (other_out, second) == ("", "")  # the first process speaks for all
    assert words in first
    if words:
        assert first.count("\n") == 1
        assert files_below(tmp_path) == set()
    else:
        assert "balanced" in out
        assert (tmp_path / "run/result.json").is_file()
