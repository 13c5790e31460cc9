from __future__ import annotations

from oponm.report import Group, notes
from oponm.report.notes import shot_notes
from tests.report.runs import result


def group(counts: list[int], many: int = 100, few: int = 20) -> Group:
    return Group("erm", [result(class_counts=counts, settings={"shots.many_over": many, "shots.few_under": few})])


def test_thresholds_and_the_counts_they_are_held_against():
    (line,) = shot_notes([group([128, 101, 100, 20, 19, 2])])
    assert "more than 100" in line
    assert "fewer than 20" in line
    assert "(128 to 2 a class: 2 many, 2 medium, 2 few)" in line


def test_groups_that_share_them_are_told_once():
    assert len(shot_notes([group([200, 5]), group([200, 5])])) == 1
    (line,) = shot_notes([group([200, 5]), group([300, 5])])
    assert "(200 to 5 a class: 1 many, 0 medium, 1 few; 300 to 5 a class: " in line


def test_other_thresholds_have_a_line_of_their_own():
    assert [line[:35] for line in shot_notes([group([200, 5]), group([200, 5], 50, 10)])] == [
        "many: classes with more than 100 tr",
        "many: classes with more than 50 tra",
    ]


def test_many_splits_are_not_counted_out():
    (line,) = shot_notes([group([200 + number, 5]) for number in range(4)])
    assert line.endswith("validation images")


def test_nothing_is_said_of_thresholds_that_are_not_known_or_overlap():
    assert shot_notes([Group("erm", [result()])]) == []
    assert shot_notes([group([200, 5], many=1, few=9)]) == []


def test_the_notes_of_a_report_tell_them():
    assert shot_notes([group([200, 5])])[0] in notes([group([200, 5])])


def test_thirds_are_told_in_place_of_thresholds():
    cut = Group("erm", [result(class_counts=[9, 7, 2], recall=[1, 1, 1], metrics={"head": 0.9}, settings={})])
    (line,) = [line for line in notes([cut]) if line.startswith("head, middle, tail: thirds of the classes")]
    assert line.endswith("(9 to 2 a class: 1 head, 1 middle, 1 tail)")
    assert not any(line.startswith("many") for line in notes([cut]))


def test_one_threshold_alone_is_told_with_the_other():
    (line,) = shot_notes([Group("erm", [result(class_counts=[200, 5], settings={"shots.few_under": 7})])])
    assert line.startswith("many: classes with more than 100 training images, few: with fewer than 7")
