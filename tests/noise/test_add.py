from __future__ import annotations

import math

import pytest
import torch

from oponm.errors import InputError
from oponm.noise import AddNoise, GaussianNoise, ReplaceWithNoise

COUNTS = [5000, 500, 50, 5000, 5]
STD = [0.25, 0.1, 0.0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(rows: int = 64, size: int = 8, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(rows, 3, size, size, generator=generator(100), dtype=torch.float64).to(dtype)
    return images, torch.randint(len(COUNTS), (rows,), generator=generator(101))


def changed_rows(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    return (after != before).flatten(1).any(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_rows_are_those_that_would_be_replaced(dtype):
    images, targets = batch_of(512, dtype=dtype)
    added = AddNoise(COUNTS, 0.7, STD)(images, targets, generator())
    replaced = ReplaceWithNoise(COUNTS, 0.7, GaussianNoise([0.5] * 3, STD))(images, targets, generator())
    assert added.images.dtype == dtype
    assert 0 < replaced.is_noise.sum() < 512
    assert torch.equal(changed_rows(added.images, images), replaced.is_noise)


def test_they_count_as_natural_and_keep_their_labels():
    images, targets = batch_of()
    before = images.clone(), targets.clone()
    batch = AddNoise(COUNTS, 1.0, STD)(images, targets, generator())
    assert batch.is_noise is None
    assert torch.equal(batch.targets, targets)
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_what_is_added_has_mean_zero_and_the_deviation_given():
    images = torch.full((2000, 3, 8, 8), 0.5)
    batch = AddNoise([10_000, 1], 1.0, STD, clip=False)(images, torch.ones(2000, dtype=torch.long), generator())
    rows = changed_rows(batch.images, images)
    noise = (batch.images - images)[rows].double()
    values = noise[:, 0].numel()
    assert rows.double().mean() > 0.99
    for channel, sigma in enumerate(STD):
        assert abs(noise[:, channel].mean().item()) <= 5 * sigma / math.sqrt(values) + 1e-9
        assert abs(noise[:, channel].std().item() - sigma) <= 5 * sigma / math.sqrt(2 * values) + 1e-7


def test_the_sum_is_clipped_unless_told_otherwise():
    clipped, free = (AddNoise(COUNTS, 1.0, STD, clip)(*batch_of(), generator()).images for clip in (True, False))
    assert free.min() < 0 < 1 < free.max()
    assert torch.equal(clipped, free.clamp(0, 1))


def test_images_below_the_noise_can_be_made_out():
    images, targets = batch_of(2000)
    batch = AddNoise(COUNTS, 1.0, [0.1] * 3)(images, targets, generator())
    rows = changed_rows(batch.images, images)
    both = torch.stack([batch.images[rows].flatten(), images[rows].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9


@pytest.mark.parametrize("progress", [0, 0.5, 1])
def test_a_linear_ramp_multiplies_the_probability_by_the_progress(progress):
    targets = torch.ones(20_000, dtype=torch.long)
    images = torch.full((20_000, 1, 1, 1), 0.5)
    add = AddNoise([4, 1], 0.8, [0.2], ramp="linear")
    share = changed_rows(add(images, targets, generator(), progress).images, images).double().mean().item()
    p = 0.75 * 0.8 * progress
    assert abs(share - p) <= 5 * (p * (1 - p) / 20_000) ** 0.5


def test_the_seed_decides():
    add = AddNoise(COUNTS, 1.0, STD)
    first, again, other = (add(*batch_of(), generator(seed)).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_hidden_generator_is_touched():
    before = torch.get_rng_state()
    AddNoise(COUNTS, 1.0, STD)(*batch_of(), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_it_adds_nothing_to_a_state_dict():
    assert AddNoise(COUNTS, 1.0, STD).state_dict() == {}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"delta": 1.5}, "delta"),
        ({"class_counts": [3, 0]}, "class_counts"),
        ({"std": [0.1, -0.1]}, "std"),
        ({"ramp": "cosine"}, "ramp"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(options, key):
    with pytest.raises(InputError) as error:
        AddNoise(**({"class_counts": COUNTS, "delta": 0.3, "std": STD} | options))
    assert error.value.key == key


@pytest.mark.parametrize("progress", [-0.1, 2])
def test_a_progress_out_of_range_is_refused(progress):
    with pytest.raises(InputError, match="progress must lie"):
        AddNoise(COUNTS, 1.0, STD)(*batch_of(), generator(), progress)


def test_integer_images_are_refused():
    with pytest.raises(InputError, match="images must be floating point"):
        AddNoise(COUNTS, 1.0, STD)(torch.zeros(2, 3, 4, 4).byte(), torch.tensor([0, 1]), generator())


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_refused(channels):
    with pytest.raises(InputError, match="channels"):
        AddNoise(COUNTS, 1.0, STD)(torch.rand(2, channels, 4, 4), torch.tensor([0, 1]), generator())
