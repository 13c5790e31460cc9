from __future__ import annotations

import csv

import pytest

from evidence import collect
from tests.evidence.runs import run
from tests.report.runs import result, store


def test_a_line_a_run_in_a_fixed_order(tmp_path):
    for seed in (1, 0):
        run(tmp_path / "sweep", "open_dar_none", seed, 0.5 + seed / 10)
    run(tmp_path / "sweep", "drs", 0, 0.25)
    store(tmp_path / "sweep/killed")
    table = tmp_path / "table.csv"
    (problem,) = collect.collect([tmp_path / "sweep"], table)
    assert "killed: not finished" in problem
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["seed"]) for line in lines] == [
        ("drs", "0"),
        ("open_dar_none", "0"),
        ("open_dar_none", "1"),
    ]
    expected = {
        "data": "digits_lt",
        "imbalance_ratio": "50",
        "epochs": "20",
        "balanced_accuracy": "0.25",
        "many": "0.25",
        "medium": "",
        "recall": "[0.9, 0.5]",
        "class_counts": "[100, 10]",
        "train_seconds": "2.0",
        "reused_seconds": "8.0",
        "git_commit": "f" * 12,
    }
    assert {name: lines[0][name] for name in expected} == expected


def test_runs_outside_a_checkout_or_with_changes_say_so_and_others_have_no_place(tmp_path):
    run(tmp_path / "sweep", "drs", 0, 0.5, git_commit=None)
    run(tmp_path / "sweep", "drs", 1, 0.5, git_commit="a" * 40 + "-dirty")
    store(tmp_path / "sweep/other", result("drs", 2, ("mixing=remix",), content_digest="0" * 64, git_commit=None))
    (problem,) = collect.collect([tmp_path / "sweep"], tmp_path / "table.csv")
    assert "other: left out (not of the study)" in problem
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [line["git_commit"] for line in csv.DictReader(file)] == ["", "aaaaaaaaaaaa-dirty"]


def test_runs_of_earlier_versions_have_their_method_in_the_experiment(tmp_path):
    experiment = {"experiment": "study/open_dar_none", "method": "open", "data": "digits_lt", "model": "small_cnn"}
    run(tmp_path / "sweep", "open_dar_none", 0, 0.5)
    run(tmp_path / "sweep", "drs", 1, 0.5, choices={**experiment, "augmentation": "none"})
    assert collect.collect([tmp_path / "sweep"], tmp_path / "table.csv") == []
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [line["method"] for line in csv.DictReader(file)] == ["open_dar_none"] * 2


def test_a_folder_without_runs_is_refused_and_no_table_written(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        collect.main([str(tmp_path), str(tmp_path / "table.csv")])
    assert ended.value.code == 2
    assert "no finished training run" in capsys.readouterr().err
    assert not (tmp_path / "table.csv").exists()


def test_lines_of_other_runs_are_kept_on_request(tmp_path):
    table = tmp_path / "table.csv"
    for seed in (0, 10):
        run(tmp_path / "first", "drs", seed, 0.25)
    collect.main([str(tmp_path / "first"), str(table)])
    before = table.read_text().splitlines()
    run(tmp_path / "second", "drs", 10, 0.75)
    run(tmp_path / "second", "drs", 2, 0.5)
    collect.main(["--add", str(tmp_path / "second"), str(table)])
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["seed"], line["balanced_accuracy"]) for line in lines] == [
        ("0", "0.25"),
        ("2", "0.5"),
        ("10", "0.75"),
    ]
    assert table.read_text().splitlines()[:2] == before[:2]
    collect.main([str(tmp_path / "second"), str(table)])
    assert len(table.read_text().splitlines()) == 3
