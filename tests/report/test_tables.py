from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich import box
from rich.console import Console

from oponm.report import Group, compare, group_runs, markdown, notes, report_tables, spreadsheet, terminal
from oponm.report.tables import difference_table, result_table, tail_table
from tests.report.runs import accuracy, full_result, published, result

METRICS = {"accuracy": 0.99, "balanced_accuracy": 0.71234, "many": 0.9, "medium": 0.6, "few": 0.3}


def group(name: str = "erm", *, seconds: float = 2.0, shifts: tuple[float, ...] = (0.0,), without: str = "") -> Group:
    runs = []
    for seed, shift in enumerate(shifts):
        metrics = {metric: value + shift for metric, value in METRICS.items() if metric != without}
        runs.append({"seed": seed, "metrics": metrics, "train_seconds": seconds + seed})
    return Group(name, runs)


def markdown_cells(*groups: Group) -> list[list[str]]:
    text = markdown(result_table(groups))
    assert text.endswith("|\n")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines()]
    assert re.fullmatch(r"[|: -]+", text.splitlines()[1])
    return [[cell.strip() for cell in row] for row in (rows[0], *rows[2:])]


def shown(*groups: Group, width: int = 300, **changes: Any) -> str:
    table = terminal(result_table(groups))
    for name, value in changes.items():
        setattr(table, name, value)
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def terminal_cells(*groups: Group) -> list[list[str]]:
    above, below = shown(*groups, box=box.SQUARE).split("├")
    header, rows = ([line.split("│")[1:-1] for line in part.splitlines() if "│" in line] for part in (above, below))
    names = [" ".join(part.strip() for part in column).strip() for column in zip(*header, strict=True)]
    return [names, *([cell.strip() for cell in row] for row in rows)]


TABLES = pytest.mark.parametrize("cells", [markdown_cells, terminal_cells], ids=["markdown", "terminal"])


@TABLES
def test_the_header_names_the_columns(cells):
    header = cells(group())[0]
    assert header == ["method", "seeds", "balanced accuracy", "many", "medium", "few", "seconds"]


@TABLES
def test_a_single_seed_has_no_error(cells):
    assert cells(group())[1:] == [["erm", "1", "71.2", "90.0", "60.0", "30.0", "2.0"]]


@TABLES
def test_several_seeds_have_a_mean_and_an_error_in_percent(cells):
    row = cells(group("open", shifts=(-0.02, 0.0, 0.05)))[1]
    assert row == ["open", "3", "72.2 ± 2.1", "91.0 ± 2.1", "61.0 ± 2.1", "31.0 ± 2.1", "3.0"]


@TABLES
def test_seeds_that_agree_have_an_error_of_zero(cells):
    assert cells(group(shifts=(0.0, 0.0)))[1][2] == "71.2 ± 0.0"


@TABLES
@pytest.mark.parametrize("shifts", [(0.0,), (0.0, 0.1)], ids=["one seed", "two seeds"])
@pytest.mark.parametrize(("metric", "column"), [("balanced_accuracy", 2), ("many", 3), ("medium", 4), ("few", 5)])
def test_a_missing_metric_is_a_dash(cells, shifts, metric, column):
    complete, row = (cells(group(shifts=shifts, without=without))[1] for without in ("", metric))
    assert row.pop(column) == "-"
    complete.pop(column)
    assert row == complete


@TABLES
def test_rows_come_in_the_order_of_the_groups(cells):
    rows = cells(group("rs"), group("erm", shifts=(0, 0.1)), group("open norm=aux", seconds=7.25))
    assert [row[:2] for row in rows[1:]] == [["rs", "1"], ["erm", "2"], ["open norm=aux", "1"]]
    assert [row[-1] for row in rows[1:]] == ["2.0", "2.5", "7.2"]


@TABLES
@pytest.mark.parametrize(
    "name", ["open norm.layers=[bn,gn]", "open data.root=[/a/b]", "open [bold]x", "erm x=*a*_b_", "open x='a b'"]
)
def test_a_name_is_shown_as_it_is(cells, name):
    assert cells(group(name))[1][0] == name


def test_a_bar_in_a_name_is_no_column():
    header, row = markdown_cells(group("open data.root=a|b"))
    assert len(row) == len(header)
    assert row[0].replace("\\", "") == "open data.root=a|b"


def test_the_alignment_row_fits_the_header():
    lines = markdown(result_table([group()])).splitlines()
    assert len(lines) == 3
    assert lines[1].count("|") == lines[0].count("|") == lines[2].count("|") == 8


def test_a_narrow_terminal_breaks_names_not_numbers():
    text = shown(group("open " + "long.key=value " * 8, shifts=(0.0, 0.1)), width=90)
    assert "76.2 ± 5.0" in text
    assert max(len(line) for line in text.splitlines()) <= 90


def test_a_name_in_markdown_is_no_html():
    assert markdown_cells(group("open <script>&amp;"))[1][0] == "open &lt;script>&amp;amp;"


def compared(seeds: int = 3):
    return compare(
        group_runs([full_result(method, seed) for method in ("drs", "open", "erm") for seed in range(seeds)])
    )


def test_differences_have_an_interval_and_a_p_value():
    comparisons = compared()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in markdown(difference_table(comparisons)).splitlines()
    ]
    assert rows[0] == ["method", "minus", "pairs", "balanced accuracy", "p", "few", "p"]
    assert [row[:3] for row in rows[2:]] == [["erm", "drs", "3"], ["open", "drs", "3"]]
    found = comparisons[1].differences["few"]
    assert rows[3][5] == f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    assert float(rows[3][6]) == pytest.approx(comparisons[1].adjusted["few"], abs=0.0006)


def test_a_single_pair_has_a_difference_alone():
    row = markdown(difference_table(compared(seeds=1))).splitlines()[2]
    assert re.fullmatch(r"\| erm \| drs \| 1 \| [+-][\d.]+ \| - \| [+-][\d.]+ \| - \|", row)


def test_the_terminal_shows_the_same_differences():
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(difference_table(compared())))
    shown_words = console.file.getvalue().split()
    cells = [
        cell.strip() for row in markdown(difference_table(compared())).splitlines()[2:] for cell in row.split("|")[1:-1]
    ]
    assert all(word in shown_words for cell in cells for word in cell.split())


def test_notes_tell_what_the_tables_hold_and_no_more(tmp_path):
    plain = [Group("erm", [result()])]
    assert len(notes(plain)) == 2
    assert len(notes([Group("erm", [result(recall=[None, None])])])) == 1
    with published(tmp_path, accuracy("open", 84.6)):
        assert any("paper: published" in line for line in notes([Group("open", [result("open")])]))
    assert any("data.val=test" in line for line in notes([Group("open", [result(validation="test")])]))
    assert any("Holm" in line for line in notes(plain, compared()))


def test_every_table_names_its_groups_and_its_columns_once():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in range(3)])
    tables = report_tables(groups, compare(groups))
    assert [table.name for table in tables] == ["results", "differences", "tail"]
    for table in tables:
        keys = [column.key for column in table.columns]
        assert len(set(keys)) == len(keys)
        assert {*table.brief, *table.wide} <= set(keys)
        assert {row[0].value for row in table.rows} <= {one.name for one in groups}
        assert {len(row) for row in table.rows} == {len(keys)}
        assert table.chosen(keys[::-1]).rows[0][-1] is table.rows[0][0]
    assert not tables[2].brief  # nobody published fifths


def test_published_fifths_that_are_not_all_known_fill_the_row(tmp_path):
    with published(tmp_path, {**accuracy("erm", 50, "p"), "figure": "fifths"}):
        tail = tail_table([Group("erm", [full_result("erm")])])
    assert [cell.text for cell in tail.rows[1]] == ["erm (p)", "50.0", "-", "-", "-", "-"]


@TABLES
def test_the_worst_class_of_a_single_run_has_a_name(cells):
    runs = [result(recall=recall, seed=seed) for seed, recall in enumerate(([0.9, 0.5], [0.2, None]))]
    header, row = cells(Group("erm", runs[:1]))
    assert dict(zip(header, row, strict=True))["worst class"] == "50.0 (b)"
    header, row = cells(Group("erm", runs))
    assert dict(zip(header, row, strict=True))["worst class"] == "35.0 ± 15.0"


def test_classes_that_are_equally_bad_are_counted():
    (row,) = result_table([Group("erm", [result(recall=[0.0, 0.0], class_names=["x" * 99, "b"])])]).rows
    assert row[-2].text == f"0.0 ({'x' * 23}… and 1 more)"


def test_runs_without_test_images_have_no_column_of_worst_classes():
    assert "worst_class" not in result_table([Group("erm", [result(recall=[None, None], metrics={})])]).brief


def thirds(method: str, **changes: Any) -> dict[str, Any]:
    return result(method, metrics={"balanced_accuracy": 0.7, "head": 0.9, "middle": 0.6, "tail": 0.3}, **changes)


def test_thirds_have_columns_in_place_of_shots():
    groups = [Group(method, [thirds(method, seed=seed) for seed in (0, 1)]) for method in ("drs", "open")]
    results, differences, *_ = report_tables(groups, compare(groups))
    assert results.brief[2:6] == ["balanced_accuracy", "head", "middle", "tail"]
    assert differences.brief[3:] == ["balanced_accuracy", "p balanced_accuracy", "tail", "p tail"]
    assert "few" not in spreadsheet([results, differences])


def test_runs_of_both_kinds_have_both_columns():
    table = result_table([Group("erm", [result()]), Group("open", [thirds("open")])])
    cells = {column.key: [row[place].text for row in table.rows] for place, column in enumerate(table.columns)}
    assert (cells["few"], cells["tail"]) == (["30.0", "-"], ["-", "30.0"])


def test_of_two_classes_the_tables_show_what_depends_on_no_threshold():
    metrics = {"balanced_accuracy": 0.7, "roc_auc": 0.95, "average_precision": 0.9}
    two = result_table(group_runs([result("erm", metrics=metrics)]))
    for keys in (two.brief, two.wide):
        shown = two.chosen(keys)
        texts = {column.name: cell.text for column, cell in zip(shown.columns, shown.rows[0], strict=True)}
        assert (texts["ROC-AUC"], texts["average precision"]) == ("95.0", "90.0")
    three = result("erm", metrics=metrics, recall=[0.5] * 3, class_counts=[9, 9, 9], class_names=["a", "b", "c"])
    assert "roc_auc" not in result_table(group_runs([three])).brief
