from __future__ import annotations

import pytest

from oponm.report import collect_runs, markdown
from oponm.report.class_table import class_groups_of, class_table
from tests.report.runs import full_result, result, store

COUNTS = [5, 500, 50, 20]


def run(**changes):
    known = {"class_counts": COUNTS, "class_names": list("abcd"), "recall": [0.5, 1.0, 0.25, None]}
    known |= {"precision": [1.0, 0.5, None, 0.0], "test_counts": [4, 2, 8, 0]}
    return result(**{**known, **changes})


def cells(content, most: int | None = None) -> list[list[str]]:
    table = class_table(content, most)
    return [[cell.text for cell in row] for row in table.chosen(table.brief).rows]


def test_classes_come_from_most_to_fewest_training_images():
    assert cells(run()) == [
        ["b", "500", "2", "100.0", "50.0", "66.7"],
        ["c", "50", "8", "25.0", "-", "0.0"],
        ["d", "20", "0", "-", "0.0", "0.0"],
        ["a", "5", "4", "50.0", "100.0", "66.7"],
    ]


def test_the_mean_f1_is_the_metric(digits_run):
    table = class_table(digits_run)
    place = [column.key for column in table.columns].index("f1")
    values = [row[place].value for row in table.rows]
    assert sum(values) / len(values) == pytest.approx(digits_run["metrics"]["macro_f1"], abs=1e-5)


def test_older_results_tell_less(tmp_path):
    content = run()
    del content["precision"], content["test_counts"]
    store(tmp_path / "run", content)
    (read,), problems = collect_runs([tmp_path])
    assert problems == []
    assert cells(read)[0] == ["b", "500", "-", "100.0", "-", "-"]


@pytest.mark.parametrize("odd", [{"precision": [0.5]}, {"precision": "x"}, {"test_counts": [1, 2, 3]}], ids=str)
def test_what_is_odd_is_left_out(tmp_path, odd):
    store(tmp_path / "run", run(**odd))
    (read,), (problem,) = collect_runs([tmp_path])
    assert "is not what a training run writes" in problem
    assert "-" in cells(read)[0]


def test_of_many_classes_the_worst_are_kept():
    assert [row[0] for row in cells(run(), most=2)] == ["c", "a"]


@pytest.mark.parametrize(
    ("metrics", "settings", "groups"),
    [
        ({"head": 0.9}, {}, {1: "head", 2: "middle", 3: "middle", 0: "tail"}),
        ({"few": 0.9}, {"shots.many_over": 50, "shots.few_under": 20}, {1: "many", 2: "medium", 3: "medium", 0: "few"}),
        ({"few": 0.9}, {"shots.many_over": 10}, None),  # overlaps with few_under, which is 20
        ({"few": 0.9}, {}, None),
        ({}, {"shots.many_over": 50}, None),
    ],
    ids=str,
)
def test_the_groups_are_those_of_the_figures(metrics, settings, groups):
    content = run(metrics=metrics, settings=settings)
    assert class_groups_of(content) == (groups or {})
    assert (class_table(content).brief[1] == "group") == bool(groups)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a|b", "犬", "ضفدع", "x" * 300, "a\nb\x1b[1m"], ids=ascii
)
def test_a_name_is_one_cell(name):
    content = full_result("erm", class_names=[name, *"bcdefghij"])
    lines = markdown(class_table(content)).splitlines()
    assert len(lines) == 2 + 10
    assert "<script" not in lines[2]
    assert lines[2].isprintable()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
