"""A sweep of several products."""

from __future__ import annotations

import json

import pytest

from hydra_plugins.oponm.rows_sweeper import RowsSweeper
from oponm.errors import InputError
from tests.cli.command import QUICK, oponm

ROWS = 'hydra.sweeper.rows=["method=erm,drs","method=open norm=aux"]'


def test_each_row_is_a_product_with_what_all_have():
    jobs = RowsSweeper({"seed": "0,1"}, ["method=erm,drs", "+a.b=range(2) method=open"]).jobs(["x=1"])
    assert [" ".join(job) for job in jobs] == [
        *(f"method={method} seed={seed} x=1" for method in ("erm", "drs") for seed in (0, 1)),
        *(f"+a.b={value} method=open seed={seed} x=1" for value in (0, 1) for seed in (0, 1)),
    ]


def test_the_command_has_the_last_word_on_what_all_rows_have():
    assert RowsSweeper({"seed": "0,1"}, ["method=erm"]).jobs(["seed=3"]) == [["method=erm", "seed=3"]]


@pytest.mark.parametrize(
    ("rows", "arguments", "words"),
    [
        (["method=erm", "method=open norm=aux"], ["norm=dar"], "norm is what the rows of the sweep set: set hydra"),
        (["+norm.momentum=0.1"], ["norm.momentum=0.2"], "norm.momentum is what the rows"),
        (["optimizer.lr=interval(0,1)"], [], "optimizer.lr is an interval: name values"),
        ([], ["seed=0"], "hydra.sweeper.rows is empty: name a row"),
    ],
)
def test_what_cannot_be_swept(rows, arguments, words):
    with pytest.raises(InputError, match=words):
        RowsSweeper({}, rows).jobs(arguments)


def test_the_rows_are_run_and_named_by_what_they_set(tmp_path):
    sweep = ["train", "-m", *QUICK, "hydra/sweeper=rows", ROWS, "seed=0,1", "output_dir=sweep"]
    done = oponm(*sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [f"{name},seed={seed}" for name in ("erm", "drs", "open,aux") for seed in (0, 1)]
    assert [job["folder"] for job in json.loads((tmp_path / "sweep/sweep.json").read_text())["jobs"]] == expected
    assert (tmp_path / "sweep/multirun.yaml").is_file()
    result = json.loads((tmp_path / "sweep/open,aux,seed=1/result.json").read_text())
    assert (result["choices"]["method"], result["choices"]["norm"], result["seed"]) == ("open", "aux", 1)


def test_what_a_row_sets_is_refused_in_one_line(tmp_path):
    done = oponm("train", *QUICK, "sweep=resnet32", "method=open", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("oponm: method is what the rows of the sweep set")
    assert list(tmp_path.iterdir()) == []
