from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.noise import AddNoise, AppendNoise, ClassGaussianNoise, GaussianNoise, ReplaceWithNoise
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


@pytest.mark.parametrize("make", ["replace", "append", "add", "class_gaussian"])
@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([0, 4], "targets must lie in 0 to 3, one for each of 4 classes, got 4"),
        ([-1, 0], "targets must lie in 0 to 3, .*got -1"),
        ([0.0, 1.0], "targets must be int64, got torch.float32"),
    ],
)
def test_labels_of_no_class_are_refused(make, targets, words):
    noise, counts = GaussianNoise([0.5], [0.2]), [9, 5, 3, 1]
    mix = {
        "replace": ReplaceWithNoise(counts, delta=0.5, noise=noise),
        "append": AppendNoise(0.5, num_classes=4, noise=noise),
        "add": AddNoise(counts, delta=0.5, std=[0.2]),
        "class_gaussian": lambda images, labels, source: ClassGaussianNoise([[0.5]] * 4, [[0.2]] * 4)(
            labels, images.shape[1:], source
        ),
    }[make]
    with pytest.raises(InputError, match=words):
        mix(torch.zeros(2, 1, 8, 8), torch.tensor(targets), generator())
