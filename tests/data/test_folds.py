from __future__ import annotations

import numpy as np
import pytest

from oponm.data.split import fold_split, grouped_split
from oponm.errors import InputError

LABELS = np.repeat([0, 1, 2], [20, 10, 5])


def test_the_folds_are_all_images_once_and_have_each_class():
    pairs = [fold_split(LABELS, 5, fold) for fold in range(5)]
    assert np.array_equal(np.sort(np.concatenate([out for _, out in pairs])), np.arange(len(LABELS)))
    for kept, out in pairs:
        assert np.array_equal(np.sort(np.concatenate([kept, out])), np.arange(len(LABELS)))
        assert np.bincount(LABELS[out]).tolist() == [4, 2, 1]


def test_a_seed_draws_other_folds():
    assert not np.array_equal(fold_split(LABELS, 5, 0, seed=0)[1], fold_split(LABELS, 5, 0, seed=1)[1])
    assert np.array_equal(fold_split(LABELS, 5, 0, seed=1)[1], fold_split(LABELS, 5, 0, seed=1)[1])


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.8])
def test_a_group_stays_on_one_side(share):
    labels, groups = np.tile([0, 1], 60), np.arange(120) // 4
    kept, out = grouped_split(labels, groups, share)
    assert not set(groups[kept]) & set(groups[out])
    assert len(kept) + len(out) == 120
    assert abs(len(out) / 120 - share) < 0.1


def test_folds_of_groups_share_no_group():
    groups = np.arange(len(LABELS)) // 2
    outs = [set(groups[fold_split(LABELS, 3, fold, groups=groups)[1]]) for fold in range(3)]
    assert not outs[0] & outs[1]
    assert not outs[1] & outs[2]
    assert len(set.union(*outs)) == groups.max() + 1


@pytest.mark.parametrize(("folds", "fold", "key"), [(1, 0, "folds"), (5, 5, "fold"), (5, -1, "fold"), (30, 0, "folds")])
def test_what_cannot_be_is_refused(folds, fold, key):
    with pytest.raises(InputError) as error:
        fold_split(LABELS, folds, fold)
    assert error.value.key == key


def test_images_of_groups_are_not_held_out_by_number():
    with pytest.raises(InputError, match="share"):
        grouped_split(LABELS, np.arange(len(LABELS)), 3)
    with pytest.raises(InputError, match="groups") as error:
        fold_split(LABELS, 3, 0, groups=np.arange(len(LABELS)) // 20)
    assert error.value.key == "folds"
