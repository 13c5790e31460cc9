from __future__ import annotations

import pytest
from PIL import Image

from oponm.report import class_tables, compare, group_runs, report, write_report
from tests.report.runs import full_result

FILES = ["report.csv", "report.html", "report.md", "report.png", "report.tex"]


def made(folder, methods=("drs", "open"), problems=()):
    groups = group_runs([full_result(method, seed) for method in methods for seed in range(2)])
    return write_report(groups, compare(groups), problems, folder)


def test_five_files(tmp_path):
    files = made(tmp_path / "new/folder")
    assert sorted(path.name for path in files) == FILES
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == FILES
    with Image.open(tmp_path / "new/folder/report.png") as image:
        image.verify()


def test_the_same_runs_make_the_same_report(tmp_path):
    for name in ("a", "b"):
        made(tmp_path / name)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in FILES)


def test_markdown_has_both_tables_the_figure_and_what_is_left_out(tmp_path):
    made(tmp_path, problems=["runs/a|b: not <finished>"])
    text = (tmp_path / "report.md").read_text()
    assert text.count("| --- |") == 2
    assert "![" in text
    assert "(report.png)" in text
    assert text.endswith("- runs/a\\|b: not &lt;finished>\n")


def test_a_single_run_has_a_table_of_its_classes(tmp_path):
    groups = group_runs([full_result("open")])
    write_report(groups, [], [], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| class | training images | test images | recall | precision | F1 |" in text
    assert text.count("| class ") == 1 + 10
    assert (tmp_path / "report.csv").read_text().count("\n") == 2


def test_a_single_group_has_no_table_of_differences(tmp_path):
    made(tmp_path, methods=["open"])
    assert (tmp_path / "report.md").read_text().count("| --- |") == 1
    assert (tmp_path / "report.tex").read_text().count("tabular") == 2


def test_an_earlier_report_is_replaced(tmp_path):
    made(tmp_path, methods=["open"])
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    made(tmp_path)
    assert all((tmp_path / name).read_bytes() != before[name] for name in FILES)


@pytest.mark.parametrize("part", ["recall_figure", "html_page", "spreadsheet"])
def test_a_report_that_fails_leaves_the_earlier_one(tmp_path, monkeypatch, part):
    made(tmp_path, methods=["open"])
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(report, part, fail)
    with pytest.raises(OSError, match="no space"):
        made(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_runs_without_test_images_or_with_company_have_no_table_of_classes():
    assert class_tables(group_runs([full_result("open", metrics={}, recall=[None] * 10)])) == []
    assert class_tables(group_runs([full_result("open", seed) for seed in (0, 1)])) == []
    (table,) = class_tables(group_runs([full_result("open")]), most=3)
    assert len(table.rows) == 3
