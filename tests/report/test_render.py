from __future__ import annotations

import csv
import io
import re
import string

import pytest

from oponm.report import Group, compare, group_runs, latex, report_tables, spreadsheet
from oponm.report.render import latex_text
from tests.report.runs import accuracy, full_result, published, result

# Any of these stands for something else in LaTeX, unless a backslash precedes it.
ACTIVE = re.compile(r"(?<!\\)[#%&_^~<>|\"]")


def tables(text: str) -> list[list[str]]:
    """The lines between the rules of each table."""
    return [
        [line for line in table.splitlines() if line.endswith(r"\\")]
        for table in re.findall(r"\\begin{tabular}.*?\\end{tabular}", text, re.DOTALL)
    ]


def test_a_table_of_results():
    runs = [result(seed=seed, metrics={"balanced_accuracy": value}) for seed, value in enumerate((0.7, 0.72))]
    (rows,) = tables(latex(report_tables([Group("erm", runs)])))
    assert rows == [
        r"method & seeds & balanced accuracy & many & medium & few & worst class & seconds \\",
        r"erm & $2$ & $71.0\pm 1.0$ & -- & -- & -- & $50.0\pm 0.0$ & $2.0$ \\",
    ]


def test_published_figures_have_columns(tmp_path):
    groups = [Group("erm", [result()]), Group("open", [result("open")])]
    with published(tmp_path, accuracy("open", 84.6)):
        header, erm, found = tables(latex(report_tables(groups)))[0]
    assert header.split(" & ")[-2:] == ["paper", r"seconds \\"]
    assert (erm.split(" & ")[-2], found.split(" & ")[-2]) == ("--", "$84.6$")


def test_a_table_of_differences():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in range(3)])
    comparisons = compare(groups)
    results, differences = tables(latex(report_tables(groups, comparisons)))
    assert (len(results), len(differences)) == (3, 2)
    found = comparisons[0].differences["balanced_accuracy"]
    cells = differences[1].split(" & ")
    assert cells[:3] == ["open", "drs", "$3$"]
    assert cells[3] == rf"${100 * found.mean:+.1f}\ [{100 * found.low:+.1f}, {100 * found.high:+.1f}]$"


def test_rows_have_as_many_cells_as_columns():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in range(3)])
    text = latex(report_tables(groups, compare(groups)))
    columns = re.findall(r"\\begin{tabular}{([lr]+)}", text)
    assert [{row.count(" & ") + 1 for row in rows} for rows in tables(text)] == [{len(letters)} for letters in columns]
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 2


@pytest.mark.parametrize("character", string.punctuation)
def test_every_character_is_itself(character):
    text = latex_text(f"a{character}1")
    bare = text.replace("{}", "")
    assert not ACTIVE.search(bare)
    assert not re.search(r"(?<!\\)[{}$]", bare)
    commands = re.findall(r"\\([a-z]+)", bare)
    assert set(commands) <= {
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textless",
        "textgreater",
        "textbar",
        "textquotedbl",
    }


def test_a_name_cannot_add_cells_rows_or_commands():
    name = r"open x=\input{secret} & \\ % $a_b$"
    (_, row) = tables(latex(report_tables([Group(name, [result()])])))[0]
    assert len(re.findall(r"(?<!\\)&", row)) == 7
    assert r"\textbackslash{}input\{secret\} \& \textbackslash{}\textbackslash{} \% \$a\_b\$" in row


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
