from __future__ import annotations

import numpy as np
import pytest

from oponm.errors import InputError
from oponm.longtail import stratified_split

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [50, 21, 10, 2]))


@pytest.mark.parametrize(
    ("held_out", "sizes"),
    [
        (1, [1, 1, 1, 1]),
        (0.1, [5, 2, 1, 1]),
        (0.5, [25, 10, 5, 1]),
        (0.01, [1, 1, 1, 1]),
    ],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_each_class_gives_its_part(held_out, sizes, seed):
    kept, out = stratified_split(LABELS, held_out, seed)
    assert np.bincount(LABELS[out]).tolist() == sizes
    assert sorted([*kept, *out]) == list(range(len(LABELS)))
    assert kept.tolist() == sorted(kept)
    assert out.tolist() == sorted(out)


@pytest.mark.parametrize("held_out", [1, 0.2])
def test_the_seed_decides(held_out):
    splits = [stratified_split(LABELS, held_out, seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_the_draw_of_a_class_does_not_depend_on_the_others():
    first = LABELS == 0
    positions = np.flatnonzero(first)
    alone = positions[stratified_split(LABELS[first], 5)[1]]
    kept, together = stratified_split(np.where(first, 0, 1), 5)
    assert together[first[together]].tolist() == alone.tolist()
    assert len(kept) == len(LABELS) - 10


def test_the_draw_is_no_prefix_of_the_dataset():
    _, out = stratified_split(np.zeros(1000, dtype=int), 0.5)
    assert 150 < np.sum(out < 500) < 350


def test_the_labels_are_left_as_they_are():
    labels = LABELS.copy()
    stratified_split(labels, 1)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("convert", [np.uint8, np.ndarray.tolist], ids=["uint8", "list"])
def test_the_type_of_the_labels_does_not_matter(convert):
    for one, other in zip(stratified_split(convert(LABELS), 1), stratified_split(LABELS, 1), strict=True):
        assert np.array_equal(one, other)


def test_a_number_of_numpys_is_a_number():
    for one, other in zip(stratified_split(LABELS, np.int64(1)), stratified_split(LABELS, 1), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("labels", "held_out", "words"),
    [
        (LABELS, 2, "class 3 has 2 images: holding out 2 leaves one side without any"),
        (LABELS, 0, "held_out must be"),
        (LABELS, -1, "held_out must be"),
        (LABELS, 1.0, "held_out must be"),
        ([0, 0, 1], 0.5, "class 1 has 1 images"),
        ([0, 0, 2, 2], 1, "class 1 has 0 images"),
        pytest.param(LABELS, -0.5, "held_out|holding out", id="negative share"),
        pytest.param(LABELS, 0.0, "held_out|holding out", id="share of nothing"),
        pytest.param(LABELS, float("nan"), "held_out|holding out", id="nan share"),
    ],
)
def test_bad_input(labels, held_out, words):
    with pytest.raises(InputError, match=words):
        stratified_split(labels, held_out)
