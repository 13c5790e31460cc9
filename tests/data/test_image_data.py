"""Batches: what is in them, in which order, and on which device."""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oponm.data import ImageFolderLT
from oponm.data.image_data import EpochInput
from oponm.data.noise import make_noise
from tests.data.small import OPEN, PLAIN, at_epoch, digits, epoch_of, same
from tests.data.sources.packs import pictures


def test_no_global_generator_is_touched():
    raw = epoch_of(digits(), given=OPEN)[0]
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    data = digits(draw="random")
    data.epoch_input = lambda epoch: OPEN
    assert data.make_batch(raw, training=True).is_noise.any()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def test_an_epoch_visits_every_training_image_once():
    data = digits(batch_size=50)
    found = epoch_of(data)
    assert [len(raw.targets) for raw in found] == [50] * 7 + [3]
    assert [(raw.epoch, raw.step) for raw in found] == [(0, step) for step in range(8)]
    images = torch.cat([raw.images for raw in found])
    assert images.dtype == torch.uint8
    rows, expected = (sorted(image.numpy().tobytes() for image in part) for part in (images, data.train_set.images))
    assert rows == expected


def test_images_keep_their_labels():
    data = digits()
    labels = {
        image.numpy().tobytes(): label
        for image, label in zip(data.train_set.images, data.train_set.targets.tolist(), strict=True)
    }
    for raw in epoch_of(data, given=OPEN):
        assert [labels[image.numpy().tobytes()] for image in raw.images] == raw.targets.tolist()


@pytest.mark.parametrize(
    ("sampler", "share"), [("instance", 128 / 353), ("class_balanced", 0.1)], ids=["instance", "class_balanced"]
)
def test_the_sampler_is_the_one_the_epoch_asks_for(sampler, share):
    targets = torch.cat([raw.targets for raw in epoch_of(digits(), given=EpochInput(sampler))])
    assert len(targets) == 353
    assert (targets == 0).double().mean().item() == pytest.approx(share, abs=0.05)


def test_the_input_may_change_from_epoch_to_epoch():
    data = digits()
    data.epoch_input = lambda epoch: OPEN if epoch >= 2 else PLAIN
    seen = []
    for epoch in range(4):
        raw = epoch_of(data, epoch)
        assert {batch.epoch for batch in raw} == {epoch}
        tail = torch.cat([batch.targets for batch in raw]) >= 5
        seen.append((tail.double().mean().item() > 0.3, data.make_batch(raw[0], training=True).is_noise is not None))
    assert seen == [(False, False), (False, False), (True, True), (True, True)]


def test_the_noise_is_the_one_of_the_batch_not_of_the_clock():
    data = digits()
    data.epoch_input = lambda epoch: OPEN if epoch else PLAIN
    early, late = (epoch_of(data, epoch)[0] for epoch in (0, 1))
    assert data.make_batch(early, training=True).is_noise is None
    assert data.make_batch(late, training=True).is_noise.any()


def test_by_default_images_are_drawn_once_each_and_without_noise():
    data = digits()
    assert data.epoch_input(0) == data.epoch_input(199) == EpochInput("instance", noise=False)
    assert data.make_batch(next(iter(data.train_dataloader())), training=True).is_noise is None


def test_noise_falls_on_rare_classes_alone():
    data = digits(noise=partial(make_noise, delta=1))
    batches = [data.make_batch(raw, training=True) for raw in epoch_of(data, given=OPEN)]
    is_noise, targets = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("is_noise", "targets"))
    assert not is_noise[targets == 0].any()
    assert is_noise[targets == 9].double().mean() > 0.9


@pytest.mark.parametrize("given", [PLAIN, OPEN], ids=["plain", "open"])
def test_evaluation_only_normalizes(given):
    data = digits()
    raw = epoch_of(data, given=given)[0]
    batch = data.make_batch(raw, training=False)
    expected = (raw.images.double() / 255 - data.statistics.mean[0]) / data.statistics.std[0]
    torch.testing.assert_close(batch.images.double(), expected, atol=1e-5, rtol=0)
    assert batch.is_noise is None
    assert not torch.equal(data.make_batch(raw, training=True).images, batch.images)


@pytest.mark.parametrize("training", [True, False])
def test_the_trainer_says_whether_it_trains(training):
    data = digits()
    raw = epoch_of(data, given=OPEN)[0]
    batch = at_epoch(data, 0, training).on_after_batch_transfer(raw, 0)
    assert same(batch, data.make_batch(raw, training))
    assert (batch.is_noise is not None) == training


def test_ranks_get_randomness_of_their_own():
    data = digits()
    raw = epoch_of(data, given=OPEN)[0]
    one, other = (at_epoch(data, 0, rank=rank).make_batch(raw, training=True) for rank in (0, 1))
    assert not torch.equal(one.is_noise, other.is_noise)


@pytest.mark.parametrize("given", [PLAIN, OPEN], ids=["plain", "open"])
def test_equal_seeds_give_equal_batches_to_the_bit(given):
    one, other = digits(seed=4), digits(seed=4)
    for epoch in (0, 1):
        torch.rand(3)
        for first, second in zip(epoch_of(one, epoch, given), epoch_of(other, epoch, given), strict=True):
            assert same(first, second)
            assert same(one.make_batch(first, training=True), other.make_batch(second, training=True))


@pytest.mark.parametrize("given", [PLAIN, OPEN], ids=["plain", "open"])
def test_another_seed_gives_another_order_augmentation_and_noise(given):
    one, other = (digits(seed=seed) for seed in (4, 5))
    first, second = (epoch_of(data, 0, given)[0] for data in (one, other))
    assert not torch.equal(first.images, second.images)
    batches = [data.make_batch(first, training=True) for data in (one, other)]
    assert not torch.equal(batches[0].images, batches[1].images)
    assert given is PLAIN or not torch.equal(batches[0].is_noise, batches[1].is_noise)


def test_epochs_differ_and_come_in_any_order():
    data = digits()
    orders = [torch.cat([raw.images for raw in epoch_of(data, epoch)]) for epoch in (3, 0, 3)]
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize(("batch_size", "sizes"), [(128, [500]), (7, [500]), (600, [500])])
def test_the_test_set_comes_whole_and_in_order(batch_size, sizes):
    data = digits(batch_size=batch_size)
    found = list(data.test_dataloader())
    assert [len(raw.targets) for raw in found] == sizes
    assert torch.equal(torch.cat([raw.images for raw in found]), data.test_set.images)
    assert torch.equal(torch.cat([raw.targets for raw in found]), data.test_set.targets)


@pytest.mark.parametrize(("batch_size", "sizes"), [(128, [500, 500, 1]), (600, [600, 401])])
def test_a_long_test_set_comes_in_parts(batch_size, sizes):
    data = digits(batch_size=batch_size)
    data.test_set.images, data.test_set.targets = data.test_set.images[:1].expand(1001, -1, -1, -1), torch.arange(1001)
    found = list(data.test_dataloader())
    assert [len(raw.targets) for raw in found] == sizes
    assert torch.equal(torch.cat([raw.targets for raw in found]), torch.arange(1001))


def test_a_batch_moves_while_the_program_goes_on():
    asked = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            if "non_blocking" in (kwargs or {}):
                asked.append(kwargs["non_blocking"])
            return operator(*args, **(kwargs or {}))

    data = digits()
    (raw, *_) = epoch_of(data)
    with Copies():
        data.transfer_batch_to_device(raw, torch.device("meta"), 0)
    assert asked == [True, True]


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False)])
def test_what_is_read_for_a_gpu_is_pinned(tmp_path, device, pinned):
    pictures(tmp_path / "photos")
    data = ImageFolderLT(tmp_path / "photos", image_size=8, in_memory=False, statistics="cifar10", val="none")
    data.setup()
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1)
    assert data.test_dataloader().pin_memory == pinned


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_made_on_the_device_of_the_images():
    data = digits()
    raw = epoch_of(data, given=OPEN)[0]
    batch = data.make_batch(raw._replace(images=raw.images.cuda(), targets=raw.targets.cuda()), training=True)
    assert batch.images.device.type == batch.is_noise.device.type == "cuda"
