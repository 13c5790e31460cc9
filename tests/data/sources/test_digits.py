from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from oponm.data import DigitsLT
from oponm.data.sources.digits import read_digits
from oponm.errors import InputError
from oponm.longtail import draw_indices, exponential_counts, split_digest

COUNTS = {
    10: [128, 99, 76, 59, 46, 35, 27, 21, 16, 12],
    50: [128, 82, 53, 34, 22, 14, 9, 6, 3, 2],
    100: [128, 76, 46, 27, 16, 9, 5, 3, 2, 1],
    None: [128, 132, 127, 133, 131, 132, 131, 129, 124, 130],
}
DIGESTS = {
    (10, "ldam", 0): "c4e848b6d2fe20f4e6e120aeafe16df3eb409af7c3cd747eac45516cbb3fa7d8",
    (50, "ldam", 0): "5628fc3291080bc8ed3e138cbe9bdf7ceeae45eac859757620b5966a9a645aec",
    (100, "ldam", 0): "f3038afc1998d50cf33719ea75b940e799bcc05be70fa4b04a7703e05771974e",
    (None, "ldam", 0): "4cbd6ad30b818e779c086e74ae33eeb116ccfec937b5ec6719256f0f32a282c8",
    (50, "ldam", 1): "d7f947afd67945224f006b931198fd82b9c3063f9ee9fea8b4192cc959a603c7",
    (50, "m2m", 0): "544e44efa97d5b79152f2f1d5bcb4334f02be61ca18dc23ec1acfe4f8017e7f8",
    (50, "random", 0): "f9661ae8bb678d77ef98716241dee0919903ecc318ab87cb9abeb31ef4610320",
    (50, "random", 1): "a6ffef77290e4c34e19616ddc18efec3c37dbad648c81c421fbeedbc8cc5d6ca",
}
PIXELS = "0edeb3ecc5d92ea84696b231672bfe79"


def digits(imbalance_ratio: float | None = 50, **options) -> DigitsLT:
    data = DigitsLT(imbalance_ratio=imbalance_ratio, **options)
    data.setup()
    return data


def rows(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


@pytest.mark.parametrize("ratio", [10, 50, 100])
def test_the_counts_are_the_profile_of_the_largest_head_that_fits(ratio):
    assert digits(ratio).class_counts == COUNTS[ratio] == exponential_counts(128, 10, ratio)


def test_without_a_ratio_every_image_is_taken():
    data = digits(None)
    assert data.class_counts == COUNTS[None]
    assert sum(data.class_counts) + sum(data.test_counts) == 1797


@pytest.mark.parametrize("ratio", [5, 50])
def test_the_step_profile_halves_the_classes(ratio):
    counts = digits(ratio, profile="step").class_counts
    assert len(set(counts[:5])) == len(set(counts[5:])) == 1
    assert counts[9] == counts[0] // ratio


@pytest.mark.parametrize(("choice", "digest"), DIGESTS.items(), ids=str)
def test_the_split_is_the_one_written_down(choice, digest):
    ratio, draw, seed = choice
    assert digits(ratio, draw=draw, draw_seed=seed).digest == digest


@pytest.mark.parametrize("options", [{"seed": 7}, {"batch_size": 3}, {}], ids=str)
def test_the_split_hangs_on_nothing_but_the_draw(options):
    first, second = digits(), digits(**options)
    assert second.digest == first.digest
    assert torch.equal(second.train_set.images, first.train_set.images)
    assert torch.equal(second.train_set.targets, first.train_set.targets)


def test_m2m_has_no_seed():
    assert digits(draw="m2m", draw_seed=4).digest == DIGESTS[50, "m2m", 0]


@pytest.mark.parametrize(("draw", "seed"), [("ldam", 0), ("ldam", 3), ("m2m", 0), ("random", 2)])
def test_the_images_are_those_of_the_draw(draw, seed):
    data = digits(draw=draw, draw_seed=seed)
    pool = data.load_source().train
    drawn = draw_indices(pool.labels, COUNTS[50], draw, seed)
    everything, kept = pool.read(np.arange(len(pool.labels)))
    assert kept.tolist() == list(range(1297))
    assert torch.equal(data.train_set.images, everything[drawn])
    assert data.train_set.targets.tolist() == pool.labels[drawn].tolist()
    assert data.digest == split_digest(drawn)


@pytest.mark.parametrize("ratio", [10, 100, None])
def test_training_and_test_images_share_nothing(ratio):
    data = digits(ratio)
    test = set(rows(data.test_set.images))
    assert len(test) == 500
    assert test.isdisjoint(rows(data.train_set.images))


def test_pool_and_test_set_are_all_the_digits():
    source, original = digits().load_source(), load_digits()
    expected = {}
    for image, label in zip(original.images, original.target, strict=True):
        expected[np.floor(image * 255 / 16 + 0.5).astype(np.uint8).tobytes()] = int(label)
    found = {}
    for pool in (source.train, source.test):
        images, _ = pool.read(np.arange(len(pool.labels)))
        found.update(zip(rows(images), pool.labels.tolist(), strict=True))
    assert len(found) == 1797
    assert found == expected


@pytest.mark.parametrize("test_per_class", [1, 50, 170])
def test_the_test_set_is_balanced(test_per_class):
    data = digits(None, test_per_class=test_per_class)
    assert data.test_counts == torch.bincount(data.test_set.targets).tolist() == [test_per_class] * 10
    assert sum(data.class_counts) == 1797 - 10 * test_per_class


@pytest.mark.parametrize("options", [{"draw": "random", "draw_seed": 9}, {"seed": 3}, {"profile": "step"}], ids=str)
def test_every_run_is_tested_on_the_same_images(options):
    first, second = digits(), digits(100, **options)
    assert torch.equal(second.test_set.images, first.test_set.images)
    assert torch.equal(second.test_set.targets, first.test_set.targets)


def test_the_test_images_are_those_written_down():
    data = digits()
    assert hashlib.sha256(data.test_set.images.numpy().tobytes()).hexdigest()[:32] == PIXELS


def test_images_are_grey_bytes_over_the_whole_range():
    data = digits()
    for images, targets in (
        (data.train_set.images, data.train_set.targets),
        (data.test_set.images, data.test_set.targets),
    ):
        assert images.dtype == torch.uint8
        assert images.shape == (len(targets), 1, 8, 8)
        assert targets.dtype == torch.int64
        assert (images.min(), images.max()) == (0, 255)
    assert data.image_shape == (1, 8, 8)
    assert data.class_names == [str(digit) for digit in range(10)]
    assert data.skipped == []


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"imbalance_ratio": 129}, "imbalance_ratio", "it can be 128 at most"),
        ({"imbalance_ratio": 0.5}, "imbalance_ratio", "at least 1"),
        ({"imbalance_ratio": "50"}, "imbalance_ratio", "at least 1"),
        ({"imbalance_ratio": 10, "profile": "linear"}, "profile", "exponential, step"),
        ({"imbalance_ratio": 10, "draw_seed": -1}, "draw_seed", "at least 0"),
        ({"imbalance_ratio": 10, "draw": "cui"}, "draw", "ldam, m2m, random"),
        ({"imbalance_ratio": None, "draw": "cui"}, "draw", "ldam, m2m, random"),
        ({"test_per_class": 171}, "test_per_class", "170 at most"),
        ({"test_per_class": 0}, "test_per_class", "at least 1"),
        ({"test_per_class": 2.5}, "test_per_class", "whole number"),
        ({"test_per_class": True}, "test_per_class", "whole number"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(options, key, message):
    with pytest.raises(InputError, match=message) as error:
        digits(**options)
    assert error.value.key == key


def test_the_largest_ratio_that_fits_leaves_one_image():
    assert digits(128).class_counts[-1] == 1


@pytest.mark.parametrize("found", [True, False])
def test_the_digits_are_those_of_scikit_learn(monkeypatch, found):
    if not found:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    images, labels = read_digits()
    expected = load_digits()
    assert np.array_equal(images, expected.images)
    assert np.array_equal(labels, expected.target)
    assert labels.dtype == np.int64
