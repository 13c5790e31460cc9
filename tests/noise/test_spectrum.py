from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.noise import SpectrumNoise

SIZES = [(8, 8), (7, 7), (5, 8), (8, 5), (1, 6), (3, 1), (2, 2), (1, 2), (2, 3)]
STANDARD = ([0.0], [1.0])


def draw(noise: SpectrumNoise, rows: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    shape = (len(noise.mean), height, width)
    return noise(torch.zeros(rows, dtype=torch.long), shape, torch.Generator().manual_seed(seed)).double()


def frequencies(height: int, width: int) -> np.ndarray:
    return np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None, :] ** 2)


@pytest.mark.parametrize("size", [(32, 32), (31, 33), (17, 48)], ids=str)
@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2])
def test_the_amplitude_falls_off_with_the_exponent(exponent, size):
    noise = SpectrumNoise([0.5] * 3, [0.1, 0.2, 0.05], exponent, clip=False)
    power = (np.abs(np.fft.fft2(draw(noise, 200, *size).numpy())) ** 2).mean(0)
    f = frequencies(*size)
    for channel in power:
        slope, _ = np.polyfit(np.log(f[f > 0]), np.log(channel[f > 0]), 1)
        assert slope == pytest.approx(-2 * exponent, abs=0.03)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("exponent", [0, 1, 2.5])
def test_it_is_white_noise_filtered_in_float64(exponent, size):
    white = torch.randn(4, 2, *size, generator=torch.Generator().manual_seed(0)).double().numpy()
    f = frequencies(*size)
    amplitude = np.zeros_like(f)
    amplitude[f > 0] = f[f > 0] ** -exponent
    amplitude /= np.sqrt((amplitude**2).sum() / f.size)
    filtered = np.fft.ifft2(np.fft.fft2(white) * amplitude)
    assert np.abs(filtered.imag).max() < 1e-12
    expected = np.array([0.3, 0.6])[:, None, None] + filtered.real * np.array([0.2, 0.1])[:, None, None]
    images = draw(SpectrumNoise([0.3, 0.6], [0.2, 0.1], exponent, clip=False), 4, *size)
    np.testing.assert_allclose(images.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_every_pixel_has_the_mean_and_the_deviation_given(exponent, size):
    rows = 20_000
    images = draw(SpectrumNoise([0.3], [0.7], exponent, clip=False), rows, *size)
    assert (images.mean(0) - 0.3).abs().max() <= 5 * 0.7 / math.sqrt(rows)
    assert (images.std(0) - 0.7).abs().max() <= 5 * 0.7 / math.sqrt(2 * rows)


@pytest.mark.parametrize("size", [*SIZES, (32, 32), (1, 1)], ids=str)
def test_the_mean_of_each_image_is_the_mean_given(size):
    images = draw(SpectrumNoise([0.2, 0.7], [1.0, 0.1], clip=False), 50, *size)
    expected = torch.tensor([0.2, 0.7], dtype=torch.float64).expand(50, 2)
    torch.testing.assert_close(images.mean((2, 3)), expected, atol=1e-5, rtol=0)


def test_a_single_pixel_is_the_mean():
    images = draw(SpectrumNoise([0.2, 0.7], [1.0, 0.1]), 3, 1, 1)
    torch.testing.assert_close(images[:, :, 0, 0], torch.tensor([[0.2, 0.7]] * 3).double())


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2])
def test_near_pixels_are_as_alike_as_the_spectrum_says(exponent):
    f = frequencies(32, 32)
    power = np.where(f > 0, np.where(f > 0, f, 1) ** (-2.0 * exponent), 0)
    expected = (power * np.cos(2 * np.pi * np.fft.fftfreq(32))).sum() / power.sum()
    unit = draw(SpectrumNoise(*STANDARD, exponent, clip=False), 500, 32, 32)
    assert (unit[..., 1:] * unit[..., :-1]).mean().item() == pytest.approx(expected, abs=0.05)
    assert (expected > 0.5) == (exponent >= 1)


def test_labels_do_not_matter():
    noise = SpectrumNoise(*STANDARD)
    one, other = (
        noise(labels, (1, 6, 6), torch.Generator().manual_seed(0)) for labels in (torch.zeros(5), torch.ones(5))
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("exponent", [50, 1000])
def test_a_huge_exponent_leaves_the_lowest_frequencies(exponent):
    images = draw(SpectrumNoise(*STANDARD, exponent, clip=False), 500, 64, 64)
    power = (np.abs(np.fft.fft2(images.numpy())) ** 2).mean((0, 1))
    lowest = np.isclose(frequencies(64, 64), 1 / 64)
    assert images.isfinite().all()
    assert images.square().mean().item() == pytest.approx(1, abs=0.1)
    assert power[lowest].sum() / power.sum() > 0.999


@pytest.mark.parametrize("exponent", [-1, float("nan"), float("inf"), "1/f", None], ids=repr)
def test_a_bad_exponent_is_refused(exponent):
    with pytest.raises(InputError, match="exponent must be a number of at least 0"):
        SpectrumNoise(*STANDARD, exponent)


def test_bad_statistics_are_refused():
    with pytest.raises(InputError, match="std must have one value per channel, like mean"):
        SpectrumNoise([0.5, 0.5], [0.1])
