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
