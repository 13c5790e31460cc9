from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.noise.rows import choose_rows

PROBABILITY = torch.tensor([0.0, 0.1, 0.5, 1.0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_share_of_rows_is_the_probability_of_the_class():
    draws = 20_000
    targets = torch.arange(4).repeat(draws)
    chosen = choose_rows(torch.zeros(len(targets), 1, 1, 1), targets, PROBABILITY, generator())
    for label, p in enumerate(PROBABILITY.tolist()):
        assert abs(chosen[targets == label].double().mean().item() - p) <= 5 * (p * (1 - p) / draws) ** 0.5


def test_the_images_have_no_part_in_it():
    targets = torch.arange(4).repeat(25)
    one, other = (
        choose_rows(images, targets, PROBABILITY, generator())
        for images in (torch.zeros(100, 1, 1, 1), torch.rand(100, 3, 5, 5, generator=generator()).half())
    )
    assert one.dtype == torch.bool
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_integer_images_are_refused(dtype):
    with pytest.raises(InputError, match="images must be floating point in"):
        choose_rows(torch.zeros(1, 1, 1, 1, dtype=dtype), torch.tensor([0]), PROBABILITY, generator())
