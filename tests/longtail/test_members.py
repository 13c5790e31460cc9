from __future__ import annotations

import numpy as np
import pytest

from oponm.longtail import draw_indices, stratified_split
from oponm.longtail.members import class_members


@pytest.mark.parametrize("num_classes", [1, 7, 300, 70_000])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, float], ids=lambda dtype: dtype.__name__)
def test_members_are_those_found_class_by_class(num_classes, dtype):
    high = min(num_classes, 128 if dtype is np.uint8 else 2**15 if dtype is np.int16 else num_classes)
    labels = np.random.default_rng(0).integers(0, high, 5000).astype(dtype)
    found = class_members(labels, num_classes)
    assert len(found) == num_classes
    for label in {0, 1, 5, num_classes - 1} & set(range(num_classes)):
        assert found[label].dtype == np.int64
        assert found[label].tolist() == np.flatnonzero(labels == label).tolist()


def test_labels_outside_are_in_no_class():
    assert [members.tolist() for members in class_members([-1, 0, 5, 2, 0], 3)] == [[1, 4], [], [3]]
    assert [members.tolist() for members in class_members([], 2)] == [[], []]


def test_a_million_labels_of_ten_thousand_classes_are_drawn_and_split():
    """With a comparison a class this would take half a minute; ``benchmarks/sampler.py`` has the seconds."""
    labels = np.random.default_rng(0).permutation(np.arange(1_000_000) % 10_000)
    assert len(draw_indices(labels, [50] * 10_000)) == 500_000
    kept, out = stratified_split(labels, 0.1)
    assert (len(kept), len(out)) == (900_000, 100_000)
