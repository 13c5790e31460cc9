from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from oponm.data import DigitsLT, LongTailDataModule, Source
from oponm.data.augmentation import flip_crop
from oponm.data.image_data import EpochInput
from oponm.data.noise import make_noise
from oponm.data.pipeline import RawBatch
from oponm.data.source import Images, Pool
from oponm.data.statistics import channel_statistics
from oponm.errors import InputError
from oponm.longtail import split_digest
from oponm.noise import Batch

PLAIN, OPEN = EpochInput(), EpochInput("class_balanced", noise=True)


def digits(**options) -> DigitsLT:
    data = DigitsLT(**{"imbalance_ratio": 50, "augmentation": partial(flip_crop, padding=1), **options})
    data.setup()
    return data


def at_epoch(data: LongTailDataModule, epoch: int, training: bool = True, rank: int = 0) -> LongTailDataModule:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(
        world_size=1, current_epoch=epoch, training=training, global_rank=rank, strategy=strategy
    )
    return data


def epoch_of(data: LongTailDataModule, epoch: int = 0, given: EpochInput | None = None) -> list[RawBatch]:
    if given is not None:
        data.epoch_input = lambda _: given
    return list(at_epoch(data, epoch).train_dataloader())


def same(one: Batch | RawBatch, other: Batch | RawBatch) -> bool:
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True))


class Tiny(LongTailDataModule):
    """Twelve pixels of three classes, of which some cannot be read."""

    def __init__(self, unreadable: tuple[int, ...] = (), **options) -> None:
        super().__init__(**options)
        self.unreadable, self.asked = unreadable, []

    def load_source(self) -> Source:
        labels = np.array([0] * 6 + [1] * 4 + [2] * 2)

        def read(wanted: np.ndarray) -> Images:
            self.asked.append(wanted.tolist())
            kept = np.flatnonzero(~np.isin(wanted, self.unreadable))
            return Images(torch.from_numpy(wanted[kept]).to(torch.uint8).view(-1, 1, 1, 1), kept)

        test = Pool(np.array([0, 1, 2]), lambda wanted: Images(torch.zeros(3, 1, 1, 1).byte(), np.arange(3)))
        return Source(["a", "b", "c"], Pool(labels, read), test, skipped=[str(index) for index in self.unreadable])


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


@pytest.mark.parametrize("given", [PLAIN, OPEN], ids=["plain", "open"])
def test_evaluation_only_normalises(given):
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_made_on_the_device_of_the_images():
    data = digits()
    raw = epoch_of(data, given=OPEN)[0]
    batch = data.make_batch(raw._replace(images=raw.images.cuda(), targets=raw.targets.cuda()), training=True)
    assert batch.images.device.type == batch.is_noise.device.type == "cuda"
