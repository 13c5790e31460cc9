"""Sweeps: jobs that fail do not end the others, and are listed at the end; other launchers."""

from __future__ import annotations

import json

import pytest

from oponm.cli.outcomes import DONE, FAILED, NOT_RUN, RUNNING, Outcome, Outcomes
from oponm.cli.sweep import conclude
from tests.cli.command import QUICK, ROOT, oponm


@pytest.mark.slow
def test_a_failed_job_is_listed_and_leaves_the_others_alone(tmp_path):
    """In the processes of two launchers: joblib's, and submitit's on this machine, which stands for SLURM."""
    sweep = ["train", "-m", *QUICK, "data.imbalance_ratio=0.5,20", "output_dir=sweep"]
    before = None
    for launcher in ("joblib", "submitit_local"):
        done = oponm(*sweep, f"hydra/launcher={launcher}", "resume=auto", cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert "data.imbalance_ratio=0.5" in done.stderr
        assert "must be a number of at least 1" in done.stderr
        assert "Traceback" not in done.stderr
        jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
        assert [job["status"] for job in jobs] == ["failed", "done"]
        left = {path.name for path in (tmp_path / "sweep").iterdir()} - {".submitit"}
        assert [job["folder"] for job in jobs] == [f"data.imbalance_ratio={ratio},seed=0" for ratio in (0.5, 20)]
        printed = "sweep/data.imbalance_ratio=20,seed=0: accuracy" in done.stdout
        assert printed == (launcher == "joblib")  # submitit keeps what a job prints in a file
        assert left == {"multirun.yaml", "sweep.json", jobs[1]["folder"]}
        result = (tmp_path / "sweep" / jobs[1]["folder"] / "result.json").read_bytes()
        assert before in (None, result)  # the second sweep leaves alone what is done
        before = result


MORTAL = """
import os, signal
from pathlib import Path
from oponm.models import SmallCNN


class Net(SmallCNN):
    def __init__(self, dies, **sizes):
        if dies:
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(**sizes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "seeds"), [(["joblib", "hydra.launcher.n_jobs=2"], [0, 1]), (["submitit_local"], [0])]
)
def test_a_killed_job_takes_no_other_with_it(tmp_path, launcher, seeds):
    (tmp_path / "mortal.py").write_text(MORTAL)
    sweep = ["model=custom", "model._target_=mortal.Net", "+model.dies=true,false", "output_dir=sweep"]
    sweep.append(f"seed={','.join(map(str, seeds))}")
    path = f"{tmp_path}:{ROOT}"
    done = oponm(
        "train", "-m", *QUICK, "hydra/launcher=" + launcher[0], *launcher[1:], *sweep, cwd=tmp_path, PYTHONPATH=path
    )
    assert (tmp_path / "died").exists(), done.stderr
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{len(seeds)} of {2 * len(seeds)} runs done" in done.stdout
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["failed"] * len(seeds) + ["done"] * len(seeds)
    for job in jobs:
        if job["status"] == "done":
            assert (tmp_path / "sweep" / job["folder"] / "result.json").is_file()
        else:
            assert "without a word" in job["reason"]


STOPPING = """
import os, signal
from hydra_plugins.oponm.launchers import SerialLauncher


class Stopping(SerialLauncher):
    def _compose(self, number, *job):
        if number:
            os.kill(os.getpid(), signal.SIGTERM)
        return super()._compose(number, *job)
"""


def test_a_sweep_that_is_stopped_between_two_jobs_lists_them(tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/stopping.py").write_text(STOPPING)
    sweep = ["-m", "seed=0,1", "output_dir=sweep", "hydra.launcher._target_=hydra_plugins.stopping.Stopping"]
    done = oponm("train", *QUICK, "method=erm", *sweep, cwd=tmp_path)
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1] == "oponm: stopped by SIGTERM"
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == [DONE, NOT_RUN]
    assert not (tmp_path / "sweep/.jobs").exists()


def test_what_all_jobs_have_in_common_is_said_once_and_nothing_stays(tmp_path):
    done = oponm("train", *QUICK, "data.imbalance_ratio=0.5", "-m", "seed=0,1", "output_dir=out/sweep", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert list(tmp_path.iterdir()) == []


def outcomes(folder, *found):
    for number, (status, reason) in enumerate(found):
        Outcomes.of(folder).write(Outcome(number, f"run{number}", [f"seed={number}"], status, reason))
        (folder / f"run{number}").mkdir()


def test_the_summary_says_what_failed_and_why(tmp_path, capsys):
    outcomes(tmp_path, (DONE, ""), (FAILED, "RuntimeError: out of memory"), (RUNNING, ""), (NOT_RUN, ""))
    assert conclude(tmp_path) == 1
    told = capsys.readouterr()
    assert "1 of 4 runs done" in told.out
    assert "out of memory" in told.err
    assert "had not ended" in told.err
    assert "before it began" in told.err
    assert "seed=0" not in told.err
    assert [job["status"] for job in json.loads((tmp_path / "sweep.json").read_text())["jobs"]] == [
        DONE,
        FAILED,
        RUNNING,
        NOT_RUN,
    ]


def test_defects_that_all_jobs_have_are_no_bad_input(tmp_path, capsys):
    outcomes(tmp_path, (FAILED, "RuntimeError: no"), (FAILED, "RuntimeError: no"))
    assert conclude(tmp_path) == 1
    assert (tmp_path / "sweep.json").is_file()


def test_a_sweep_without_failures_prints_no_table(tmp_path, capsys):
    outcomes(tmp_path, (DONE, ""), (DONE, ""))
    assert conclude(tmp_path) == 0
    assert capsys.readouterr().err == ""


def test_what_was_in_the_folder_stays(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "multirun.yaml").write_text("")
    Outcomes.of(tmp_path).write(Outcome(0, "run0", [], FAILED, "no", bad_input=True))
    assert conclude(tmp_path) == 2
    assert (tmp_path / "notes.txt").is_file()


def test_two_sweeps_in_one_folder_count_their_own(tmp_path):
    """Each in a process of its own; the one that ends first leaves the other's jobs alone."""
    other = Outcomes(tmp_path, "host-1")
    for number in range(3):
        other.write(Outcome(number, f"run{number}", [], DONE))
    outcomes(tmp_path, (DONE, ""), (DONE, ""))
    assert conclude(tmp_path) == 0
    assert len(json.loads((tmp_path / "sweep.json").read_text())["jobs"]) == 2
    assert len(other.read()) == 3
    other.forget()
    assert not (tmp_path / ".jobs").exists()


def test_a_sweep_has_one_folder(tmp_path):
    for arguments in (["-m", "seed=0,1", "output_dir=a,b"], ["sweep=demo", "output_dir=a,b"]):
        done = oponm("train", *QUICK, *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "output_dir names one folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
