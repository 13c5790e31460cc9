from __future__ import annotations

import pytest

from oponm.report.result_file import check_result
from tests.report.runs import full_result, result


def test_what_training_writes_is_left_as_it_is():
    content = full_result("open", reused={"seconds": 3.0, "epochs": 8})
    before = dict(content)
    assert check_result(content) == []
    assert content == before


@pytest.mark.parametrize("content", [None, [], 3, "words"], ids=str)
def test_what_is_no_mapping_is_refused(content):
    with pytest.raises(ValueError, match="no result of a training run"):
        check_result(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("metrics", {"few": "0.5"}),
        ("metrics", {"few": float("inf")}),
        ("metrics", {"few": True}),
        ("recall", [0.9, "0.5"]),
        ("recall", [0.9, 1.5]),
        ("recall", [0.9, -0.5]),
        ("class_counts", [100, -1]),
        ("class_counts", [100, 1.5]),
        ("class_names", ["a", 2]),
        ("overrides", ["seed=1", 3]),
        ("seed", "0"),
        ("seed", True),
        ("train_seconds", "long"),
        ("reused", {"seconds": "3"}),
        ("reused", 3),
    ],
    ids=str,
)
def test_numbers_of_tables_must_be_numbers(key, value):
    with pytest.raises(ValueError, match=f"^{key} is not what"):
        check_result(result(**{key: value}))


@pytest.mark.parametrize("key", ["recall", "class_counts", "class_names"])
def test_lists_by_class_must_agree_in_length(key):
    content = result()
    content[key] = content[key][:1]
    with pytest.raises(ValueError, match="differ in length"):
        check_result(content)


def test_no_class_at_all_is_refused():
    with pytest.raises(ValueError, match="differ in length"):
        check_result(result(recall=[], class_counts=[], class_names=[]))


def test_a_class_without_test_images_may_have_no_recall():
    assert check_result(result(recall=[None, float("nan")])) == []


def test_whole_seconds_are_seconds():
    assert check_result(result(train_seconds=3)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confusion_matrix", [[1, 2]]),
        ("confusion_matrix", [[1, 2], [3]]),
        ("confusion_matrix", [[1, 2], [3, -1]]),
        ("confusion_matrix", [["1", "2"], ["3", "4"]]),
        ("confusion_matrix", {"a": 1}),
        ("noise_histogram", [1, 2, 3]),
        ("noise_histogram", [1, None]),
        ("noise_histogram", [1, float("nan")]),
        ("noise_histogram", [1, float("inf")]),
        ("phases", ["instance"]),
        ("phases", [{"name": "instance"}]),
        ("phases", [{"name": "instance", "start": -1}]),
    ],
    ids=str,
)
def test_parts_of_figures_that_fit_no_figure_are_taken_out_and_told(key, value):
    content = result(**{key: value})
    assert check_result(content) == [f"{key} is not what a training run writes, and is not drawn"]
    assert content == result()


@pytest.mark.parametrize("key", ["confusion_matrix", "noise_histogram", "phases", "reused"])
def test_parts_may_be_null(key):
    assert check_result(result(**{key: None})) == []
