from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from oponm.data.augmentation import Cutout, flip_crop, no_augmentation, simclr
from oponm.errors import InputError
from oponm.rng import derived_randomness

SHAPES = [(1, 8, 8), (3, 8, 8), (1, 6, 10), (3, 10, 6), (3, 32, 32)]


def picture(shape: tuple[int, int, int]) -> torch.Tensor:
    """Every value differs, and none is black."""
    size = shape[0] * shape[1] * shape[2]
    return (torch.arange(1, size + 1).view(shape) / size).float()


def variants(image: torch.Tensor, padding: int) -> dict[bytes, tuple[bool, int, int]]:
    """Every flip and crop there is, by its pixels."""
    _, height, width = image.shape
    found = {}
    for flip in (False, True):
        padded = torch.nn.functional.pad(image.flip(2) if flip else image, [padding] * 4)
        for y in range(2 * padding + 1):
            for x in range(2 * padding + 1):
                found[padded[:, y : y + height, x : x + width].numpy().tobytes()] = (flip, y, x)
    return found


def augmented(image: torch.Tensor, copies: int, padding: int = 4, step: int = 0) -> torch.Tensor:
    augmentation = flip_crop(tuple(image.shape[1:]), padding)
    with derived_randomness(0, "augmentation", step=step):
        return augmentation(image.expand(copies, -1, -1, -1).clone())


def choices(image: torch.Tensor, result: torch.Tensor, padding: int) -> list[tuple[bool, int, int]]:
    known = variants(image, padding)
    return [known[row.contiguous().numpy().tobytes()] for row in result]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_a_result_is_the_image_flipped_or_not_and_shifted_over_black(shape, padding):
    image = picture(shape)
    result = augmented(image, 40, padding)
    assert result.shape == (40, *shape)
    assert result.dtype == torch.float32
    assert len(choices(image, result, padding)) == 40


@pytest.mark.parametrize("padding", [0, 1])
def test_flips_and_shifts_are_equally_likely_and_independent(padding):
    image = picture((1, 6, 8))
    seen = choices(image, augmented(image, 5000, padding), padding)
    frequencies = [seen.count(choice) for choice in variants(image, padding).values()]
    assert len(frequencies) == 2 * (2 * padding + 1) ** 2
    assert chisquare(frequencies).pvalue > 1e-3


def test_images_of_a_batch_get_randomness_of_their_own():
    image = picture((3, 32, 32))
    assert len(set(choices(image, augmented(image, 64), 4))) > 30


def test_images_of_a_batch_stay_apart():
    images = torch.stack([picture((3, 8, 8)) + shift for shift in (0, 2, 4)])
    with derived_randomness(0, "augmentation"):
        result = flip_crop((8, 8), 2)(images.clone())
    for image, row in zip(images, result, strict=True):
        assert len(choices(image, row[None], 2)) == 1


def test_the_padding_is_four_by_default():
    image = picture((1, 8, 8))
    with derived_randomness(0, "augmentation"):
        result = flip_crop((8, 8))(image.expand(1000, -1, -1, -1).clone())
    seen = choices(image, result, 4)
    assert {y for _, y, _ in seen} == {x for _, _, x in seen} == set(range(9))


def test_randomness_is_reproducible_and_no_other_generator_has_part_in_it():
    image = picture((3, 8, 8))
    first = augmented(image, 32)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.rand(3)
    random.random()
    np.random.rand()  # noqa: NPY002
    assert torch.equal(augmented(image, 32), first)
    assert not torch.equal(augmented(image, 32, step=1), first)
    torch.set_rng_state(before[0])
    random.setstate(before[1])
    augmented(image, 32)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_one_augmentation_serves_batches_of_any_size():
    augmentation, image = flip_crop((8, 8), 2), picture((3, 8, 8))
    for rows in (7, 1, 64):
        with derived_randomness(0, "augmentation", step=rows):
            result = augmentation(image.expand(rows, -1, -1, -1).clone())
        assert len(choices(image, result, 2)) == rows


def test_the_input_is_left_as_it_was():
    images = picture((3, 8, 8)).expand(16, -1, -1, -1).clone()
    before = images.clone()
    with derived_randomness(0, "augmentation"):
        flip_crop((8, 8))(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("padding", [-1, 1.5, True, "4", None])
def test_a_bad_padding_is_refused(padding):
    with pytest.raises(InputError, match="padding must be a whole number of at least 0"):
        flip_crop((8, 8), padding)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_augmentation_changes_nothing(shape):
    images = picture(shape)[None]
    assert torch.equal(no_augmentation(shape[1:])(images), images)


def test_cutout_blacks_out_one_square_that_may_reach_over_the_border():
    with derived_randomness(0, "augmentation"):
        images = Cutout(4)(torch.ones(400, 3, 12, 10))
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(images[:, 0], images[:, 2])
    areas = []
    for black in images[:, 0] == 0:
        rows, columns = black.any(1).nonzero().flatten(), black.any(0).nonzero().flatten()
        areas.append(int(black.sum()))
        assert black.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    assert max(areas) == 16
    assert min(areas) < 8


def test_simclr_stays_in_range_and_is_a_function_of_the_global_generator():
    images = torch.rand(16, 3, 32, 32)
    outputs = []
    for _ in range(2):
        with derived_randomness(0, "augmentation"):
            outputs.append(simclr((32, 32))(images))
    assert torch.equal(*outputs)
    assert outputs[0].min() >= 0
    assert outputs[0].max() <= 1 + 1e-5
    grey = (outputs[0].amax(1) - outputs[0].amin(1)).flatten(1).amax(1) < 1e-6
    assert 0 < grey.sum() < 12
