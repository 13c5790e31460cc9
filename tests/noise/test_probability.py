from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.longtail import exponential_counts
from oponm.noise import noise_probability


@pytest.mark.parametrize("delta", [0, 1 / 6, 1 / 3, 0.5, 1])
@pytest.mark.parametrize("counts", [[5000, 2997, 1796, 83, 50], [7, 7], [1, 3, 2], [4]], ids=str)
def test_the_formula(counts, delta):
    expected = [float((1 - Fraction(count, max(counts))) * Fraction(delta)) for count in counts]
    torch.testing.assert_close(noise_probability(counts, delta), torch.tensor(expected))


@pytest.mark.parametrize(
    ("n_max", "num_classes", "imbalance_ratio", "percent"),
    [(5000, 10, 100, 25.1), (5000, 10, 50, 24.0), (500, 100, 100, 26.1), (500, 100, 50, 24.9)],
)
def test_the_noise_share_of_a_class_balanced_batch(n_max, num_classes, imbalance_ratio, percent):
    probability = noise_probability(exponential_counts(n_max, num_classes, imbalance_ratio), 1 / 3)
    assert round(100 * probability.mean().item(), 1) == percent


@pytest.mark.parametrize("delta", [0.2, 1])
def test_the_rarer_the_class_the_more_noise_and_never_delta(delta):
    probability = noise_probability([1000, 500, 500, 10, 1], delta).tolist()
    assert probability == sorted(probability)
    assert probability[0] == 0
    assert probability[1] == probability[2]
    assert probability[-1] < delta


@pytest.mark.parametrize("convert", [tuple, np.array, torch.tensor], ids=lambda convert: convert.__name__)
def test_the_container_does_not_matter(convert):
    probability = noise_probability(convert([100, 50, 10]), 0.5)
    assert probability.dtype == torch.float32
    assert torch.equal(probability, noise_probability([100, 50, 10], 0.5))


@pytest.mark.parametrize("delta", [-0.01, 1.01, 100, float("nan"), float("inf"), "0.3", None, True], ids=repr)
def test_a_delta_out_of_range_is_refused(delta):
    with pytest.raises(InputError, match=r"delta must lie in \[0, 1\], got") as error:
        noise_probability([100, 10], delta)
    assert error.value.key == "delta"


@pytest.mark.parametrize(
    "counts",
    [
        [100, 0],
        [100, -1],
        [0.5, 1],
        [],
        5,
        [[100, 10]],
        pytest.param([float("nan"), 3], id="nan"),
        pytest.param([float("inf"), 3], id="inf"),
    ],
    ids=str,
)
def test_counts_without_an_image_are_refused(counts):
    with pytest.raises(InputError, match="class_counts must be a list of numbers, one for each class") as error:
        noise_probability(counts, 0.3)
    assert error.value.key == "class_counts"
