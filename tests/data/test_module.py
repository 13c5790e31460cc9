"""A data module: what it draws, loads and makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.data import DigitsLT
from oponm.data.noise import make_noise
from oponm.data.statistics import channel_statistics
from oponm.errors import InputError
from oponm.longtail import split_digest
from tests.data.small import Tiny, digits


def test_what_was_drawn_can_be_asked_for():
    data = digits()
    assert data.class_counts == torch.bincount(data.train_set.targets).tolist()
    assert data.test_counts == torch.bincount(data.test_set.targets).tolist()
    assert data.statistics == channel_statistics(data.train_set.images)
    assert data.image_shape == (1, 8, 8)
    assert len(data.digest) == 64


def test_setup_again_does_nothing(monkeypatch):
    data = digits()
    before = data.train_set.images, data.train_set.targets, data.test_set.images, data.digest, data.pipeline
    monkeypatch.setattr(data, "load_source", lambda: pytest.fail("read again"))
    for stage in (None, "fit", "test"):
        data.setup(stage)
    after = data.train_set.images, data.train_set.targets, data.test_set.images, data.digest, data.pipeline
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_the_noise_is_made_from_the_training_set():
    seen = []

    def noise(statistics, class_counts, class_statistics):
        seen.append((statistics, class_counts, class_statistics()))
        return make_noise(statistics, class_counts, class_statistics)

    data = digits(noise=noise)
    images, targets = data.train_set.images, data.train_set.targets
    of_classes = [channel_statistics(images[targets == label]) for label in range(10)]
    assert seen == [(data.statistics, data.class_counts, of_classes)]


def test_the_augmentation_is_made_for_the_images():
    seen = []

    def augmentation(image_size):
        seen.append(image_size)
        return nn.Identity()

    digits(augmentation=augmentation)
    assert seen == [(8, 8)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 12.5),
        ("batch_size", "128"),
        ("batch_size", None),
        ("seed", -1),
        ("seed", 0.5),
        ("seed", None),
    ],
)
def test_bad_settings_are_refused_at_once(option, value):
    with pytest.raises(InputError, match="whole number") as error:
        DigitsLT(**{option: value})
    assert error.value.key == option


def test_images_that_cannot_be_read_are_out_of_counts_digest_and_labels():
    data = Tiny(unreadable=(1, 2, 7))
    data.setup()
    assert data.class_counts == [4, 3, 2]
    assert data.train_set.images.flatten().tolist() == [0, 3, 4, 5, 6, 8, 9, 10, 11]
    assert data.train_set.targets.tolist() == [0] * 4 + [1] * 3 + [2] * 2
    assert data.digest == split_digest([0, 3, 4, 5, 6, 8, 9, 10, 11])
    assert data.skipped == ["1", "2", "7"]


def test_a_class_of_which_nothing_can_be_read_is_refused():
    data = Tiny(unreadable=(10, 11))
    with pytest.raises(InputError, match="class 'c' has no training image left"):
        data.setup()


def test_a_setup_that_failed_can_be_tried_again():
    data = Tiny(unreadable=(10, 11))
    with pytest.raises(InputError):
        data.setup()
    data.unreadable = ()
    data.setup()
    assert data.class_counts == [6, 4, 2]
