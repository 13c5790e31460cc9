from __future__ import annotations

from functools import partial

import pytest
import torch
from kornia.augmentation.auto.autoaugment.autoaugment import cifar10_policy
from torchvision.transforms import AutoAugment as FirstAutoAugment
from torchvision.transforms import AutoAugmentPolicy, v2

from oponm.data.augmentation import AutoAugment, RandAugment, autoaugment, randaugment
from oponm.data.augmentation.operations import OPERATIONS
from oponm.data.augmentation.policies import apply_operations
from oponm.errors import InputError
from oponm.rng import derived_randomness

REFERENCE = partial(v2.AutoAugment, AutoAugmentPolicy.CIFAR10)


def photograph(height: int = 32, width: int = 32) -> torch.Tensor:
    """A smooth uint8 image of all three colors, (3, H, W)."""
    noise = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    image = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")[0]
    return (image.clamp(0.1, 0.9) * 255).byte()


def batch(copies: int, height: int = 32, width: int = 32) -> torch.Tensor:
    return (photograph(height, width).float() / 255).expand(copies, -1, -1, -1)


def drawn(module: torch.nn.Module, images: torch.Tensor, step: int = 0) -> torch.Tensor:
    with derived_randomness(0, "augmentation", step=step):
        return module(images)


def different(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1).unique(dim=0).view(-1, *images.shape[1:])


@pytest.mark.parametrize(
    ("ours", "reference", "draws"),
    [
        (partial(RandAugment, 1, 10), partial(v2.RandAugment, 1, 10), 400),
        (partial(RandAugment, 1, 25), partial(v2.RandAugment, 1, 25), 400),
        (AutoAugment, REFERENCE, 4000),
    ],
    ids=["randaugment 10", "randaugment 25", "autoaugment"],
)
@pytest.mark.parametrize("size", [(32, 32), (24, 40)], ids=str)
def test_the_outcomes_are_those_of_torchvision_on_single_images(ours, reference, draws, size):
    transform = reference()
    with derived_randomness(1, "augmentation"):
        outcomes = torch.stack([transform(photograph(*size)) for _ in range(draws)]).flatten(1).float() / 255
    known, counts = outcomes.unique(dim=0, return_counts=True)
    found = drawn(ours(), batch(draws, *size)).flatten(1).unique(dim=0)
    # Mean absolute difference. Values are rounded to 8 bits there after every operation, here not.
    between = torch.cdist(found, known, p=1) / known.shape[1]
    assert between.amin(1).max() < 0.012
    # Outcomes that are very rare there may not have been drawn here.
    assert between[:, counts > 9].amin(0).max() < 0.012
    assert (counts > 9).sum() > 15


def test_the_table_is_the_published_one():
    plain = [[(name.replace("_", ""), p, level) for name, p, level in pair] for pair in cifar10_policy]
    published = FirstAutoAugment(AutoAugmentPolicy.CIFAR10).policies
    assert plain == [[(name.lower(), p, level) for name, p, level in pair] for pair in published]


def test_the_table_is_drawn_from_evenly_with_its_probabilities():
    # The share of images that nothing happens to depends on every entry; "color" at level 0 changes nothing.
    images = batch(3000)
    same = (drawn(AutoAugment(), images) == images).flatten(1).all(1).float().mean()
    idle = [[1 - p * (level != 0) for _, p, level in pair] for pair in cifar10_policy]
    assert abs(same - sum(first * second for first, second in idle) / 25) < 0.025


@pytest.mark.parametrize("module", [AutoAugment, partial(RandAugment, 2, 10)], ids=["autoaugment", "randaugment"])
def test_equal_images_of_a_batch_get_different_outcomes(module):
    assert len(different(drawn(module(), batch(128)))) > 40


@pytest.mark.parametrize("factory", [autoaugment, randaugment])
def test_a_recipe_keeps_shape_type_and_range_and_is_reproducible(factory):
    images = torch.rand(128, 3, 24, 32, generator=torch.Generator().manual_seed(3))
    before = images.clone()
    recipe = factory((24, 32))
    result = drawn(recipe, images)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-6
    assert torch.equal(images, before)
    assert torch.equal(drawn(recipe, images), result)
    assert not torch.equal(drawn(recipe, images, step=1), result)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_image_is_changed_by_its_own_strength(name):
    images = torch.rand(3, 3, 10, 12, generator=torch.Generator().manual_seed(4))
    strengths = torch.tensor([-1.0, 0.3, 1.0])
    together = OPERATIONS[name](images, strengths)
    alone = [OPERATIONS[name](images[i : i + 1], strengths[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert together.min() >= 0
    assert together.max() <= 1


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("auto_contrast", "equalize", "invert")])
def test_strength_zero_leaves_an_image_as_it_is(name):
    images = batch(2)
    torch.testing.assert_close(OPERATIONS[name](images, torch.zeros(2)), images)


def test_a_channel_of_one_value_keeps_it_under_auto_contrast():
    images = torch.full((1, 3, 4, 4), 0.4)
    assert torch.equal(OPERATIONS["auto_contrast"](images, torch.ones(1)), images)


def test_operations_reach_their_own_rows_only():
    images = batch(4)
    result = apply_operations(images, ["invert", "rotate"], torch.tensor([2, 0, 1, 0]), torch.ones(4))
    assert torch.equal(result[0], images[0])
    assert torch.equal(result[1], 1 - images[1])
    assert torch.equal(result[3], 1 - images[3])
    assert not torch.equal(result[2], images[2])


@pytest.mark.parametrize(("magnitude", "changes"), [(0, False), (30, True)])
def test_the_magnitude_reaches_the_operations(magnitude, changes):
    images = batch(300, 16, 16)
    module = RandAugment(1, magnitude)
    module.names = ["rotate", "brightness", "solarize"]
    changed = (drawn(module, images) != images).flatten(1).any(1).float().mean()
    # One choice in four is to do nothing.
    assert (0.65 < changed < 0.85) if changes else changed == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_ops": 0}, "num_ops must be a whole number of at least 1"),
        ({"magnitude": -1}, "magnitude must be a whole number of at least 0"),
        ({"magnitude": 31}, "magnitude must be at most 30, got 31"),
    ],
)
def test_a_bad_option_of_randaugment_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        randaugment((32, 32), **options)
