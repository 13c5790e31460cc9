from __future__ import annotations

import itertools
import math

import pytest
import torch
from kornia.enhance import adjust_hue as kornia_hue
from torchvision.transforms.v2 import functional

from oponm.data.augmentation import ColorJitter, adjust_hue, simclr
from oponm.errors import InputError
from oponm.rng import derived_randomness

STEPS = [
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
]


def colors(number: int = 1, side: int = 8) -> torch.Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))


def jittered(images: torch.Tensor, *strengths: float, p: float = 1.0, step: int = 0) -> torch.Tensor:
    with derived_randomness(0, "augmentation", step=step):
        return ColorJitter(*strengths, p=p)(images)


@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.0, 0.07, 0.5])
def test_hue_is_that_of_kornia_and_torchvision(turns):
    images = torch.cat(
        [colors(4), torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), colors(1)[:, :1].expand(1, 3, 8, 8)]
    )
    result = adjust_hue(images, torch.full((len(images),), turns))
    torch.testing.assert_close(result, kornia_hue(images, 2 * math.pi * turns), atol=1e-5, rtol=0)
    torch.testing.assert_close(result, functional.adjust_hue(images, turns), atol=1e-5, rtol=0)


def test_hue_turns_each_image_by_its_own_angle():
    images, turns = colors(1).expand(3, -1, -1, -1), torch.tensor([-0.3, 0.0, 0.4])
    result = adjust_hue(images, turns)
    for image, row, turn in zip(images, result, turns.tolist(), strict=True):
        torch.testing.assert_close(row, functional.adjust_hue(image, turn), atol=1e-5, rtol=0)


def test_two_channels_that_tie_for_the_largest_keep_their_hue():
    pure = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]).float().view(4, 3, 1, 1)
    torch.testing.assert_close(adjust_hue(pure, torch.zeros(4)), pure)


@pytest.mark.parametrize("which", range(4))
def test_a_single_step_has_the_formula_and_the_uniform_factors_of_torchvision(which):
    image, strengths = colors(), [0.0] * 4
    strengths[which] = 0.4
    result = jittered(image.expand(300, -1, -1, -1), *strengths)
    grid = torch.linspace(-0.4, 0.4, 801) + (0 if which == 3 else 1)
    known = torch.stack([STEPS[which](image[0], factor) for factor in grid.tolist()])
    distance = torch.cdist(result.flatten(1), known.flatten(1), p=math.inf)
    assert distance.amin(1).max() < 0.005
    nearest = distance.argmin(1).float() / 800
    assert nearest.min() < 0.02
    assert nearest.max() > 0.98
    assert 0.45 < nearest.mean() < 0.55


def test_every_image_has_an_order_of_its_own():
    image = colors(side=4)
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.1)
    # Each factor fixed at the top of its range: what is left to differ between images is the order.
    jitter.steps = [(function, neutral + strength, 0.0) for function, neutral, strength in jitter.steps]
    with derived_randomness(0, "augmentation"):
        result = jitter(image.expand(2400, -1, -1, -1))
    known = []
    for order in itertools.permutations(range(4)):
        changed = image[0]
        for index in order:
            changed = STEPS[index](changed, 0.1 if index == 3 else 1.4)
        known.append(changed)
    distance = torch.cdist(result.flatten(1), torch.stack(known).flatten(1), p=math.inf)
    # torchvision rounds the weights of its greyscale to four places.
    assert distance.amin(1).max() < 2e-4
    # Orders that agree in their outcome share the draws between them.
    drawn = (distance < 2e-4).float()
    shares = (drawn / drawn.sum(1, keepdim=True)).sum(0)
    assert shares.min() > 60
    assert shares.max() < 140
    assert drawn.sum(1).mean() < 3


def test_the_given_share_of_images_is_changed():
    images = colors().expand(3000, -1, -1, -1)
    changed = (jittered(images, 0.4, 0.4, 0.4, 0.1, p=0.8) != images).flatten(1).any(1)
    assert 0.77 < changed.float().mean() < 0.83
    assert torch.equal(jittered(images, 0.4, 0.4, 0.4, 0.1, p=0.0), images)


def test_jitter_is_reproducible_and_leaves_its_input_alone():
    images = colors(16)
    before = images.clone()
    first = jittered(images, 0.4, 0.4, 0.4, 0.1)
    assert torch.equal(images, before)
    assert torch.equal(jittered(images, 0.4, 0.4, 0.4, 0.1), first)
    assert not torch.equal(jittered(images, 0.4, 0.4, 0.4, 0.1, step=1), first)
    assert len(jittered(images[:0], 0.4, 0.4, 0.4, 0.1)) == 0


@pytest.mark.parametrize(
    ("key", "value"), [("brightness", 1.5), ("contrast", -0.1), ("saturation", "a"), ("hue", 0.6), ("p", 1.1)]
)
def test_a_strength_outside_its_range_is_refused(key, value):
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "p": 1.0} | {key: value}
    with pytest.raises(InputError, match=f"{key} must lie in"):
        ColorJitter(**strengths)


def test_the_recipes_greyscale_has_its_share():
    with derived_randomness(0, "augmentation"):
        images = simclr((16, 16), cutout=1)(colors(1, 16).expand(2000, -1, -1, -1))
    grey = (images.amax(1) - images.amin(1)).flatten(1).amax(1) < 1e-6
    assert 0.17 < grey.float().mean() < 0.23


def test_the_recipes_blur_is_torchvisions_with_deviations_up_to_two():
    image = colors(1, 12)
    blur = simclr((12, 12), cutout=1)[3]
    with derived_randomness(0, "augmentation"):
        result = blur(image.expand(1000, -1, -1, -1))
    blurred = (result != image).flatten(1).any(1)
    # Below a deviation of about 0.2 nothing is seen of it.
    assert 0.42 < blurred.float().mean() < 0.53
    sigmas = torch.linspace(0.1, 2, 1901)
    known = torch.stack([functional.gaussian_blur(image[0], [3, 3], [sigma]) for sigma in sigmas.tolist()])
    distance = torch.cdist(result[blurred].flatten(1), known.flatten(1), p=math.inf)
    assert distance.amin(1).max() < 0.005
    assert sigmas[distance.argmin(1)].max() > 1.9
