from __future__ import annotations

from functools import partial

import pytest
import torch

from oponm.data.augmentation import autoaugment, cutout, flip_crop, imagenet, no_augmentation, randaugment, simclr
from oponm.errors import InputError
from oponm.rng import derived_randomness

GRAY = [no_augmentation, flip_crop, partial(cutout, cutout=4)]
COLOR = [
    partial(simclr, cutout=4),
    partial(autoaugment, cutout=4),
    randaugment,
    imagenet,
    partial(imagenet, resized_crop=True),
]


def drawn(module: torch.nn.Module, images: torch.Tensor, step: int = 0) -> torch.Tensor:
    with derived_randomness(0, "augmentation", step=step):
        return module(images)


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (33, 20)], ids=str)
@pytest.mark.parametrize(
    ("factory", "channels"), [*((choice, 1) for choice in GRAY), *((choice, 3) for choice in GRAY + COLOR)]
)
def test_every_choice_keeps_shape_type_and_range_and_is_reproducible(factory, channels, size):
    module, images = factory(size), torch.rand(9, channels, *size, generator=torch.Generator().manual_seed(0))
    result = drawn(module, images)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-5
    assert torch.equal(drawn(module, images), result)
    if factory is not no_augmentation:
        assert not torch.equal(drawn(module, images, step=1), result)


@pytest.mark.parametrize("factory", COLOR)
@pytest.mark.parametrize("channels", [1, 4])
def test_color_augmentation_of_other_images_is_refused(factory, channels):
    message = f"augmentation needs color images of 3 channels, got {channels}; choose none, flip_crop or cutout"
    with pytest.raises(InputError, match=message) as raised:
        factory((8, 8))(torch.rand(2, channels, 8, 8))
    assert raised.value.key == "augmentation"


@pytest.mark.parametrize("factory", [cutout, simclr, autoaugment])
def test_a_cutout_as_large_as_the_image_is_the_largest(factory):
    factory((16, 20), cutout=16)
    with pytest.raises(InputError, match="cutout must be at most the images' shorter side, 16 pixels, got 17"):
        factory((16, 20), cutout=17)
    with pytest.raises(InputError, match="cutout must be a whole number of at least 1"):
        factory((16, 20), cutout=0)


def test_cutout_flips_half_shifts_and_blacks_out():
    images = torch.linspace(0.1, 0.9, 32).expand(2000, 3, 32, 32)
    result = drawn(cutout((32, 32), padding=0), images)
    values = result.masked_fill(result == 0, torch.nan).flatten(0, 2)
    rising = (values.diff(dim=1).nan_to_num().view(2000, -1).sum(1) > 0).float().mean()
    assert 0.46 < rising < 0.54
    black = (result[:, 0] == 0).flatten(1).sum(1).float()
    # A center that is uniform over 32 positions leaves 14 of 16 lines and of 16 columns inside, on average.
    assert black.max() == 256
    assert 190 < black.mean() < 202
    assert torch.equal(result[:, 0] == 0, result[:, 2] == 0)


def test_imagenet_flips_half_and_changes_every_images_colors():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(2000, -1, -1, -1)
    result = drawn(imagenet((8, 8)), images)
    centered = result - result.mean((2, 3), keepdim=True)
    likeness = [(centered * other).sum((1, 2, 3)) for other in (images[0], images[0].flip(2))]
    assert 0.46 < (likeness[1] > likeness[0]).float().mean() < 0.54
    assert (result != images).flatten(1).any(1).all()
    assert len(result.flatten(1).unique(dim=0)) == 2000


def test_the_resized_crop_of_imagenet_takes_eight_to_a_hundred_percent():
    # A ramp from left to right: the spread of a crop's values is its share of the width.
    images = torch.linspace(0, 1, 64).expand(1000, 3, 64, 64)
    crop = imagenet((64, 64), resized_crop=True)[0]
    result = drawn(crop, images)
    width = result[:, 0, 0, -1] - result[:, 0, 0, 0]
    turned = drawn(crop, images.transpose(2, 3))
    height = turned[:, 0, -1, 0] - turned[:, 0, 0, 0]
    area = width * height
    assert area.min() > 0.05
    assert area.min() < 0.12
    assert area.max() > 0.9
    assert ((width / height).log().abs() < 0.35).all()
