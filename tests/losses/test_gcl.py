from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.losses import GCL, CrossEntropy, cloud_sizes, gcl
from oponm.rng import derived_randomness
from tests.losses import oracle
from tests.losses.batches import COUNTS, batch_of


@pytest.mark.parametrize("options", [(0.5, 0.0, 30.0), (0.3, 0.1, 20.0)], ids=str)
def test_the_formula(options):
    logits, targets = batch_of()
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).clamp(-1, 1)
    counts = np.array(COUNTS, dtype=np.float64)
    expected = [
        oracle.gcl(row.numpy(), target, counts, drawn.numpy(), *options)
        for row, target, drawn in zip(logits, targets.tolist(), noise, strict=True)
    ]
    losses = gcl(logits, targets, torch.tensor(COUNTS), noise, *options)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


def test_clouds_are_largest_for_the_rarest_and_none_for_the_most_frequent():
    assert cloud_sizes(torch.tensor([1000, 100, 10])).tolist() == pytest.approx([0, 0.5, 1])
    assert cloud_sizes(torch.tensor([7, 7])).tolist() == [0, 0]


def test_noise_lowers_every_class_by_its_size_and_never_raises_one():
    """The publication's |epsilon|: a careless implementation adds noise of both signs, or to the target alone."""
    counts, targets, logits = torch.tensor(COUNTS), torch.tensor([0]), torch.zeros(1, 5, dtype=torch.float64)
    noise = torch.full((1, 5), 0.6, dtype=torch.float64)
    signs = torch.tensor([[1, -1, 1, -1, 1]])
    losses = gcl(logits, targets, counts, signs * noise)
    torch.testing.assert_close(losses, gcl(logits, targets, counts, noise))
    # Class 0 has no cloud: where it is the target, lowered others make the loss smaller.
    assert losses < CrossEntropy(COUNTS)(logits, targets)
    assert gcl(logits, torch.tensor([4]), counts, noise) > CrossEntropy(COUNTS)(logits, torch.tensor([4]))


def test_noise_is_drawn_for_each_row_and_class_and_clipped():
    counts = [1000, 10, 10]
    with derived_randomness(0, "test"):
        losses = GCL(counts, amplitude=1.0, scale=1.0)(torch.zeros(20_000, 3), torch.zeros(20_000, dtype=torch.int64))
    others = torch.expm1(losses.double())  # e^-a + e^-b
    assert others.min() >= 2 * np.exp(-1) - 1e-6
    with derived_randomness(0, "test"):
        noise = (torch.randn(20_000, 3) / 3).clamp(-1, 1).abs().double()
    torch.testing.assert_close(others, (-noise[:, 1:]).exp().sum(1), rtol=1e-5, atol=1e-6)


def test_a_margin_is_the_target_s_alone():
    logits, targets = batch_of()
    shifted = logits - 30 * 0.1 * torch.nn.functional.one_hot(targets, 5)
    expected = CrossEntropy(COUNTS)(shifted, targets)
    torch.testing.assert_close(GCL(COUNTS, amplitude=0, margin=0.1)(logits, targets), expected)
