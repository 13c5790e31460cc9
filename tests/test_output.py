"""Output that goes away ends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from oponm.output import Unfailing, unfailing_output
from tests.cli.command import QUICK


def run(folder, *arguments, stdout, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oponm", *arguments]
    return subprocess.run(command, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, **options)


def closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "gone"),
    [([], closed_pipe), (["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"], full_device)],
    ids=["here", "joblib"],
)
def test_a_sweep_whose_output_goes_away_comes_to_its_end(tmp_path, launcher, gone):
    done = run(tmp_path, "train", "-m", *QUICK, *launcher, "seed=0", "output_dir=sweep", stdout=gone())
    assert done.returncode == 0, done.stderr
    assert "standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    jobs = json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["done"]


def test_a_run_without_any_output_at_all(tmp_path):
    command = f"{sys.executable} -m oponm train {' '.join(QUICK)} output_dir=run >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=tmp_path).returncode == 0
    assert (tmp_path / "run/result.json").is_file()


def test_streams_are_put_back_and_one_warning_is_logged(caplog, capsys):
    before = sys.stdout
    with unfailing_output(), unfailing_output():
        print("read")
    assert sys.stdout is before
    assert capsys.readouterr().out == "read\n"
    with open(full_device(), "w") as file:
        stream = Unfailing(file, "standard output")
        for _ in range(3):
            print("lost", file=stream, flush=True)
        assert stream.encoding == file.encoding
    assert len(caplog.records) == 1
