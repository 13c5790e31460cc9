from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.data.statistics import Statistics, channel_statistics


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
def test_one_colour_has_no_deviation(value):
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
