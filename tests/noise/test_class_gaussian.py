from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.noise import ClassGaussianNoise, GaussianNoise

MEAN = [[0.1, 0.5, 0.9], [0.8, 0.3, 0.2], [0.5, 0.5, 0.5]]
STD = [[0.05, 0.2, 0.1], [0.3, 0.0, 0.02], [1.0, 0.4, 0.15]]


def draw(noise: ClassGaussianNoise, targets: torch.Tensor, channels: int = 3) -> torch.Tensor:
    return noise(targets, (channels, 16, 16), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_the_class(channels):
    mean, std = ([row[:channels] for row in table] for table in (MEAN, STD))
    targets = torch.tensor([2, 0, 1]).repeat(200)
    images = draw(ClassGaussianNoise(mean, std, clip=False), targets, channels).double()
    for label in range(3):
        for channel in range(channels):
            pixels, sigma = images[targets == label, channel], std[label][channel]
            assert abs(pixels.mean().item() - mean[label][channel]) <= 5 * sigma / math.sqrt(pixels.numel()) + 1e-7
            assert abs(pixels.std().item() - sigma) <= 5 * sigma / math.sqrt(2 * pixels.numel()) + 1e-7


def test_each_row_is_looked_up_by_its_target():
    targets = torch.randint(3, (40,), generator=torch.Generator().manual_seed(1))
    unit = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double().numpy()
    mean, std = (np.array(table)[targets.numpy()][:, :, None, None] for table in (MEAN, STD))
    expected = (mean + unit * std).clip(0, 1)
    np.testing.assert_allclose(draw(ClassGaussianNoise(MEAN, STD), targets).numpy(), expected, atol=1e-6)


def test_with_equal_classes_it_is_the_noise_of_one_mean_to_the_bit():
    targets = torch.arange(3).repeat(5)
    of_class = draw(ClassGaussianNoise([MEAN[0]] * 3, [STD[0]] * 3), targets)
    assert torch.equal(of_class, draw(GaussianNoise(MEAN[0], STD[0]), targets))


@pytest.mark.parametrize("convert", [tuple, np.array, torch.tensor], ids=lambda convert: convert.__name__)
def test_the_container_does_not_matter(convert):
    targets = torch.arange(3)
    converted = ClassGaussianNoise(convert(MEAN), convert(STD))
    assert torch.equal(draw(converted, targets), draw(ClassGaussianNoise(MEAN, STD), targets))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.5, 0.5], [0.1, 0.1]),
        ([[0.5], [0.5]], [[0.1]]),
        ([[0.5], [0.5]], [[0.1], [-0.1]]),
        ([[0.5], [float("nan")]], [[0.1], [0.1]]),
        ([[0.5], [0.5]], [[0.1], [float("inf")]]),
    ],
    ids=str,
)
def test_bad_statistics_are_refused(mean, std):
    with pytest.raises(InputError, match="std must have one row per class and one value per channel") as error:
        ClassGaussianNoise(mean, std)
    assert error.value.key == "std"


def test_a_mean_that_clipping_would_leave_plain_is_refused():
    with pytest.raises(InputError, match=r"mean must lie in \[0, 1\]"):
        ClassGaussianNoise([[0.5], [125.3]], [[0.2], [0.2]])
    ClassGaussianNoise([[0.5], [125.3]], [[0.2], [0.2]], clip=False)
