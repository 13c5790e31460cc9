from __future__ import annotations

from functools import partial

import pytest
import torch

from oponm.data import DigitsLT
from oponm.data.noise import DISTRIBUTIONS, make_noise
from oponm.logging.sheet import AUGMENTED, NOISE, _images, data_sheet


def digits(**options) -> DigitsLT:
    data = DigitsLT(imbalance_ratio=50, noise=partial(make_noise, **options))
    data.setup()
    return data


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_noise_images_are_shown_as_they_are(distribution, mode):
    images = _images(digits(distribution=distribution, mode=mode), label=0)
    assert images.shape == (1 + AUGMENTED + NOISE, 1, 8, 8)
    likeness = torch.corrcoef(images[[0, -2, -1]].flatten(1))
    assert (likeness[0, 1:].abs() < 0.5).all()
    assert not torch.equal(images[-1], images[-2])


def test_added_noise_is_shown_on_the_image():
    images = _images(digits(mode="add", std=[0.1]), label=0)
    likeness = torch.corrcoef(images[[0, -2, -1]].flatten(1))
    assert (likeness[0, 1:] > 0.9).all()
    assert not torch.equal(images[0], images[-1])
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("mode", ["replace", "append", "add"])
def test_the_file_is_written_in_every_mode(mode, tmp_path):
    data_sheet(digits(mode=mode), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
