from __future__ import annotations

import csv
import io

import pytest

from oponm.report import Group, compare, group_runs, report_tables, spreadsheet
from tests.report.runs import accuracy, full_result, published, result


def rows(groups, comparisons=()) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(spreadsheet(report_tables(groups, comparisons)))))


def test_figures_are_in_full_precision():
    groups = [Group("erm", [result(seed=seed, metrics={"few": value}) for seed, value in enumerate((0.123456, 0.2))])]
    (row,) = rows(groups)
    assert float(row["few"]) == pytest.approx(0.161728)
    assert float(row["few_error"]) == pytest.approx(0.038272)
    assert (row["method"], row["seeds"]) == ("erm", "2")


def test_differences_stand_in_the_row_of_their_group():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in range(3)])
    comparisons = compare(groups)
    drs, found = rows(groups, comparisons)
    assert (drs["baseline"], found["baseline"], found["pairs"]) == ("", "drs", "3")
    expected = comparisons[0].differences["few"]
    names = ("few_difference", "few_difference_low", "few_difference_high", "few_p")
    values = (expected.mean, expected.low, expected.high, expected.p)
    assert [float(found[name]) for name in names] == pytest.approx(values, abs=1e-7)
    assert drs["few_difference"] == ""
    assert float(found["balanced_accuracy"]) - float(drs["balanced_accuracy"]) == pytest.approx(
        float(found["balanced_accuracy_difference"]), abs=1e-7
    )


def test_metrics_that_only_some_runs_have_leave_cells_empty(tmp_path):
    groups = [
        Group("erm", [result()]),
        Group("open", [result("open", metrics={"ece": 0.1})]),
    ]
    with published(tmp_path, accuracy("open", 84.6)):
        erm, found = rows(groups)
    assert (erm["ece"], found["ece"], found["few"]) == ("", "0.1", "")
    assert (erm["published_paper"], found["published_paper"]) == ("", "84.6")


@pytest.mark.parametrize("name", ["open,erm", 'a "b"', "a;b"])
def test_names_may_hold_what_separates_cells(name):
    assert rows([Group(name, [result()])])[0]["method"] == name


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_name_is_a_formula(name):
    assert rows([Group(name, [result()])])[0]["method"] == f"'{name}"
