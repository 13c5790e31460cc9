from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import files_below, oponm
from tests.report.runs import full_result, store, store_full

FILES = {"report.csv", "report.html", "report.md", "report.png", "report.tex"}


@pytest.fixture
def sweep(tmp_path) -> Path:
    for method in ("drs", "open"):
        for seed in range(2):
            store_full(tmp_path / "sweep" / f"{method}-{seed}", full_result(method, seed))
    return tmp_path


def test_tables_on_the_terminal_and_files_in_the_first_folder(sweep):
    store(sweep / "more/running")
    done = oponm("report", "sweep", "more", cwd=sweep)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "more/running: not finished" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("files: sweep/report.md, ")
    assert {name for name in files_below(sweep / "sweep") if "/" not in name} == FILES
    words = done.stdout.split()
    assert words.count("open") == 2  # once in either table
    assert "minus" in words


def test_a_folder_that_is_missing_is_listed_and_not_made(sweep):
    done = oponm("report", "nowhere", "sweep", cwd=sweep)
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("nowhere: no such folder") for line in done.stdout.splitlines())
    assert not (sweep / "nowhere").exists()
    assert files_below(sweep / "sweep") >= FILES


def test_the_baseline_and_the_folder_may_be_chosen(sweep):
    done = oponm("report", "--baseline", "open", "sweep", "--output", "paper/tables", cwd=sweep)
    assert done.returncode == 0, done.stderr
    assert files_below(sweep / "paper") == {f"tables/{name}" for name in FILES}
    assert "| drs | open | 2 |" in (sweep / "paper/tables/report.md").read_text()
    assert not FILES & files_below(sweep / "sweep")


def test_no_number_is_cut_off_on_a_narrow_terminal(sweep):
    overrides = [f"model.some_long_key={'x' * 30}", "norm=aux"]
    for seed in range(2):
        store_full(sweep / f"sweep/long-{seed}", full_result("open", seed, overrides=overrides))
    done = oponm("report", "sweep", cwd=sweep, COLUMNS="60")
    row = next(line for line in (sweep / "sweep/report.md").read_text().splitlines() if "norm=aux | drs" in line)
    cells = [cell.strip() for cell in row.split("|")[4:-1]]
    assert all(cell in done.stdout for cell in cells)


def test_a_report_may_be_made_again(sweep):
    for _ in range(2):
        done = oponm("report", "sweep", cwd=sweep)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["oponm report DIR..."]),
        (["--baseline", "open"], ["oponm report DIR..."]),
        (["sweep", "--format", "pdf"], ["--format", "oponm report DIR..."]),
        (["sweep", "--baseline"], ["--baseline"]),
        (["sweep", "--baseline", "opne"], ["baseline", "drs, open", "'opne'"]),
        (["nowhere"], ["nowhere", "no such folder"]),
        (["baseline=drs"], ["baseline=drs", "no setting of oponm report", "--baseline"]),
        ([""], ["a folder's name is empty"]),
        (["empty"], ["no finished training run below empty"]),
        (["sweep", "--output", "sweep/drs-0/result.json"], ["sweep/drs-0/result.json"]),
    ],
    ids=str,
)
def test_mistakes_are_told_in_one_line_and_write_nothing(sweep, arguments, words):
    (sweep / "empty").mkdir()
    before = files_below(sweep)
    done = oponm("report", *arguments, cwd=sweep)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("oponm: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert files_below(sweep) == before


def test_a_single_run_is_shown_by_class(tmp_path):
    store_full(tmp_path / "run", full_result("open", classes=50))
    done = oponm("report", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if line.startswith(" class ")]
    assert len(rows) == 1 + 40
    assert "10 more classes, of higher accuracy, are in report.md" in done.stdout.splitlines()
    assert (tmp_path / "run/report.md").read_text().count("| class ") == 1 + 50


def test_help(tmp_path):
    done = oponm("report", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("DIR", "--baseline NAME", "--output DIR"))
