from __future__ import annotations

import numpy as np
import pytest
import torch

import oponm.data.statistics as module
from oponm.data.statistics import Statistics, channel_statistics, class_statistics
from oponm.errors import InputError


def random_images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    spread = np.random.default_rng(seed).beta(0.5, 1.5, shape) * np.arange(80, 80 + 40 * shape[1], 40)[:, None, None]
    return spread.clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 1, 8, 8), (7, 3, 6, 10), (2, 4, 3, 1), (300, 3, 64, 64)], ids=str)
def test_they_are_those_of_numpy_in_float64(shape):
    images = random_images(shape)
    scaled = images.astype(np.float64) / 255
    result = channel_statistics(torch.from_numpy(images))
    assert isinstance(result, Statistics)
    assert len(result.mean) == len(result.std) == shape[1]
    np.testing.assert_allclose(result.mean, scaled.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(result.std, scaled.std((0, 2, 3)), rtol=1e-10, atol=1e-15)


def test_channels_are_apart():
    images = torch.zeros(4, 3, 5, 5, dtype=torch.uint8)
    images[:2, 1] = 255
    images[:, 2] = 51
    result = channel_statistics(images)
    assert result.mean == pytest.approx((0, 0.5, 0.2), abs=1e-15)
    assert result.std == pytest.approx((0, 0.5, 0), abs=1e-15)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_one_color_has_no_deviation(value):
    result = channel_statistics(torch.full((3, 1, 4, 4), value, dtype=torch.uint8))
    assert result.mean == (value / 255,)
    assert result.std == (0.0,)


def test_the_order_in_memory_has_no_part_in_it():
    images = torch.from_numpy(random_images((6, 3, 9, 7)))
    strided = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not strided.is_contiguous()
    assert channel_statistics(strided) == channel_statistics(images)
    assert channel_statistics(images.flip(0)) == channel_statistics(images)


def test_they_are_plain_numbers():
    result = channel_statistics(torch.from_numpy(random_images((2, 3, 4, 4))))
    assert all(type(value) is float for value in (*result.mean, *result.std))


def labeled(
    shape: tuple[int, ...] = (40, 3, 6, 5), num_classes: int = 4, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.arange(shape[0]) % num_classes
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(random_images(shape, seed)), targets[order]


@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (40, 3, 6, 5), (9, 4, 3, 1), (300, 3, 32, 32)], ids=str)
@pytest.mark.parametrize("num_classes", [1, 4])
def test_those_of_classes_are_those_of_numpy_in_float64(shape, num_classes):
    images, targets = labeled(shape, num_classes)
    result = class_statistics([(images, targets)], num_classes)
    assert len(result) == num_classes
    for label, of_class in enumerate(result):
        scaled = images[targets == label].numpy().astype(np.float64) / 255
        np.testing.assert_allclose(of_class.mean, scaled.mean((0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(of_class.std, scaled.std((0, 2, 3)), rtol=1e-10, atol=1e-15)


def test_a_class_has_the_statistics_of_its_images_to_the_bit():
    images, targets = labeled()
    result = class_statistics([(images, targets)], 4)
    assert result == [channel_statistics(images[targets == label]) for label in range(4)]
    assert all(type(value) is float for of_class in result for value in (*of_class.mean, *of_class.std))


@pytest.mark.parametrize("size", [1, 7, 40])
def test_batches_one_by_one_give_those_of_the_whole(size):
    images, targets = labeled()
    streamed = zip(images.split(size), targets.split(size), strict=True)
    assert class_statistics(streamed, 4) == class_statistics([(images, targets)], 4)


@pytest.mark.parametrize("chunk", [1, 90, 200, 10**9])
def test_the_chunks_have_no_part_in_it(chunk, monkeypatch):
    images, targets = labeled()
    expected = class_statistics([(images, targets)], 4)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert class_statistics([(images, targets)], 4) == expected


def test_a_class_of_one_image():
    images = torch.tensor([[0, 255], [51, 51], [102, 153]], dtype=torch.uint8).view(3, 1, 1, 2)
    result = class_statistics([(images, torch.tensor([2, 0, 1]))], 3)
    assert [of_class.mean[0] for of_class in result] == pytest.approx([0.2, 0.5, 0.5])
    assert [of_class.std[0] for of_class in result] == pytest.approx([0, 0.1, 0.5])


def test_an_empty_batch_counts_nothing():
    images, targets = labeled()
    assert class_statistics([(images[:0], targets[:0]), (images, targets)], 4) == class_statistics(
        [(images, targets)], 4
    )


@pytest.mark.parametrize("batches", [[], [labeled(num_classes=3)]], ids=["nothing", "one class missing"])
def test_a_class_without_an_image_is_refused(batches):
    with pytest.raises(InputError, match=f"class {3 if batches else 0} has no image"):
        class_statistics(batches, 4)
