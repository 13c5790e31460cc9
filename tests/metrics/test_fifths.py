from __future__ import annotations

import pytest

from oponm.longtail import exponential_counts
from oponm.metrics import class_fifths


@pytest.mark.parametrize(
    ("num_classes", "sizes"),
    [(5, [1] * 5), (6, [2, 1, 1, 1, 1]), (9, [2, 2, 2, 2, 1]), (10, [2] * 5), (100, [20] * 5), (1000, [200] * 5)],
)
def test_every_class_is_in_one_and_they_are_as_equal_as_can_be(num_classes, sizes):
    fifths = class_fifths(exponential_counts(5000, num_classes, 100))
    assert [len(fifth) for fifth in fifths] == sizes
    assert sorted(label for fifth in fifths for label in fifth) == list(range(num_classes))


def test_the_rarest_classes_come_first():
    assert class_fifths([50, 9, 40, 30, 8, 20]) == [[4, 1], [5], [3], [2], [0]]


def test_of_equal_counts_the_higher_label_is_the_rarer():
    assert class_fifths([7] * 10) == [[9, 8], [7, 6], [5, 4], [3, 2], [1, 0]]
    assert class_fifths([5, 5, 1, 9, 5]) == [[2], [4], [1], [0], [3]]


@pytest.mark.parametrize("num_classes", [0, 1, 4])
def test_fewer_than_five_classes_have_none(num_classes):
    assert class_fifths([10] * num_classes) == []
