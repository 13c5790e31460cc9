from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.data import DigitsLT
from oponm.data.split import fold_split, grouped_split
from oponm.errors import InputError
from oponm.longtail import split_digest
from tests.data.small import Tiny, digits


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_a_file_of_indices_is_the_subset(tmp_path, suffix):
    everything = digits(imbalance_ratio=None)
    indices = np.random.default_rng(0).permutation(1297)[:400]
    path = tmp_path / f"subset{suffix}"
    if suffix == ".npy":
        np.save(path, indices)
    else:
        path.write_text("".join(f"{index}\n" for index in indices))
    data = digits(imbalance_ratio=None, draw=str(path))
    assert torch.equal(data.train_set.images, everything.train_set.images[indices])
    assert torch.equal(data.train_set.targets, everything.train_set.targets[indices])
    assert data.digest == split_digest(indices)


def test_a_drawn_subset_can_be_read_back(tmp_path):
    drawn = digits(draw="random", draw_seed=3)
    pool = digits(imbalance_ratio=None).train_set.images
    position = {image.numpy().tobytes(): index for index, image in enumerate(pool)}
    path = tmp_path / "subset.txt"
    path.write_text("\n".join(str(position[image.numpy().tobytes()]) for image in drawn.train_set.images))
    data = digits(imbalance_ratio=None, draw=str(path))
    assert data.digest == drawn.digest
    assert torch.equal(data.train_set.images, drawn.train_set.images)


def test_a_file_of_indices_and_a_ratio_contradict_each_other(tmp_path):
    path = tmp_path / "subset.txt"
    path.write_text("0\n1\n")
    with pytest.raises(InputError, match=r"must be null, as the images are listed in draw=.*subset\.txt") as error:
        DigitsLT(imbalance_ratio=10, draw=str(path))
    assert error.value.key == "imbalance_ratio"


@pytest.mark.parametrize("content", ["0\n0\n", "0\n1297\n", "-1\n", "", "zero\n", "0.5\n"], ids=repr)
def test_a_bad_file_of_indices_is_named(tmp_path, content):
    path = tmp_path / "subset.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=r"subset\.txt: "):
        digits(imbalance_ratio=None, draw=str(path))


@pytest.mark.parametrize("value", [1.0, 0, 0.0, -1, -0.5, float("nan"), True, "half", None])
def test_a_bad_val_size_is_named(value):
    with pytest.raises(InputError, match="val_size must be a whole number of at least 1, or a share") as error:
        DigitsLT(val="split", val_size=value)
    assert error.value.key == "val_size"


def test_a_val_size_that_leaves_nothing_is_named():
    with pytest.raises(InputError, match="val_size asks for too much: class 0 has"):
        digits(val="split", val_size=1000)


@pytest.mark.parametrize("draw", ["ldam", "random"])
def test_a_bad_draw_seed_is_named(draw):
    for value in (-1, 2**32, 1.5):
        with pytest.raises(InputError, match="draw_seed must be"):
            DigitsLT(imbalance_ratio=50, draw=draw, draw_seed=value)
    assert digits(draw=draw, draw_seed=2**32 - 1, val="split").val_counts[0] > 0


def test_only_the_images_drawn_are_read():
    data = Tiny(imbalance_ratio=3, draw="m2m")
    data.setup()
    assert data.asked == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]]
    assert data.class_counts == [6, 3, 2]


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
