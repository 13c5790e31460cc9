from __future__ import annotations

import math

import pytest
import torch

from oponm.noise import UniformNoise


def draw(rows: int = 300, channels: int = 3) -> torch.Tensor:
    targets = torch.zeros(rows, dtype=torch.long)
    return UniformNoise()(targets, (channels, 16, 16), torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_the_moments_are_those_of_the_pixel_range(channels, power):
    images = draw(channels=channels)
    spread = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2)
    found = images.pow(power).mean((0, 2, 3))
    assert found.shape == (channels,)
    assert (found - 1 / (power + 1)).abs().max() <= 5 * spread / math.sqrt(images[:, 0].numel())


def test_every_part_of_the_range_is_as_likely():
    counts = torch.histc(draw(), bins=20, min=0, max=1)
    assert (counts / counts.sum() - 1 / 20).abs().max() <= 5 * math.sqrt(0.05 * 0.95 / counts.sum().item())


def test_pixels_are_independent():
    images = draw() - 0.5
    for one, other in ((images[..., 1:], images[..., :-1]), (images[..., 1:, :], images[..., :-1, :])):
        assert abs((one * other).mean().item()) <= 5 / 12 / math.sqrt(one.numel())


def test_labels_do_not_matter():
    one, other = (
        UniformNoise()(labels, (1, 4, 4), torch.Generator().manual_seed(0))
        for labels in (torch.zeros(5), torch.ones(5))
    )
    assert torch.equal(one, other)
