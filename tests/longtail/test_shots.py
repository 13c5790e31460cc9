from __future__ import annotations

import pytest

from oponm.errors import InputError
from oponm.longtail import exponential_counts, shot_groups


@pytest.mark.parametrize(
    ("count", "group"),
    [(0, "few"), (19, "few"), (20, "medium"), (21, "medium"), (100, "medium"), (101, "many"), (5000, "many")],
)
def test_the_edges(count, group):
    assert shot_groups([count]) == {"many": [], "medium": [], "few": [], group: [0]}


@pytest.mark.parametrize(
    ("count", "group"), [(4, "few"), (5, "medium"), (8, "medium"), (9, "many"), (50, "many")], ids=str
)
def test_the_edges_of_other_thresholds(count, group):
    assert shot_groups([count], many_over=8, few_under=5) == {"many": [], "medium": [], "few": [], group: [0]}


@pytest.mark.parametrize(("count", "group"), [(9, "few"), (10, "medium"), (11, "many")])
def test_thresholds_may_touch(count, group):
    assert shot_groups([count], many_over=10, few_under=10)[group] == [0]


@pytest.mark.parametrize("shape", [(5000, 10, 100), (500, 100, 100), (500, 100, 10)], ids=str)
def test_every_class_is_in_one_group(shape):
    counts = exponential_counts(*shape)
    groups = shot_groups(counts)
    assert list(groups) == ["many", "medium", "few"]
    assert groups["many"] + groups["medium"] + groups["few"] == list(range(shape[1]))
    assert all(counts[label] > 100 for label in groups["many"])
    assert all(20 <= counts[label] <= 100 for label in groups["medium"])
    assert all(counts[label] < 20 for label in groups["few"])


def test_labels_ascend_whatever_the_order_of_counts():
    assert shot_groups([5, 500, 50, 7, 300]) == {"many": [1, 4], "medium": [2], "few": [0, 3]}


def test_overlapping_thresholds_are_refused():
    with pytest.raises(InputError, match="many_over must be at least few_under=20, got 19"):
        shot_groups([50], many_over=19)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [([9], (0, 1, 0)), ([9, 2], (1, 0, 1)), ([9, 5, 2], (1, 1, 1)), ([9, 7, 5, 2], (1, 2, 1)), (range(5), (2, 1, 2))]
    + [(range(number), (number // 3, number - 2 * (number // 3), number // 3)) for number in (6, 7, 9, 10, 100)],
    ids=lambda value: len(value) if len(value) != 3 else "",
)
def test_thirds_are_as_equal_as_can_be(counts, sizes):
    groups = shot_groups(counts, None, None)
    assert tuple(map(len, groups.values())) == sizes
    assert list(groups) == ["head", "middle", "tail"]
    assert sorted(label for labels in groups.values() for label in labels) == list(range(len(counts)))
    assert max(sizes) - min(sizes) <= 1 or len(counts) < 3


def test_thirds_go_by_the_images_and_equal_counts_by_the_label():
    assert shot_groups([5, 500, 50, 7, 300, 7], None, None) == {"head": [1, 4], "middle": [2, 3], "tail": [0, 5]}


@pytest.mark.parametrize(
    ("thresholds", "expected"), [((50, None), [0, 1, 1, 2]), ((None, 60), [0, 1, 2, 2])], ids=["many", "few"]
)
def test_one_threshold_alone_leaves_the_other_as_usual(thresholds, expected):
    groups = shot_groups([101, 60, 50, 5] if thresholds[0] is None else [101, 50, 20, 5], *thresholds)
    found = {label: place for place, labels in enumerate(groups.values()) for label in labels}
    assert list(groups) == ["many", "medium", "few"]
    assert [found[label] for label in range(4)] == expected
