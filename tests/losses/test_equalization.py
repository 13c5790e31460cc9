from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.losses import CrossEntropy, Equalization, equalization
from tests.losses import oracle
from tests.losses.batches import COUNTS, batch_of

RARE = [False, False, True, True, True]  # with fewer than a twentieth of the images


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.0])
def test_the_formula(threshold):
    logits, targets = batch_of()
    beta = torch.rand(logits.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    counts = np.array(COUNTS, dtype=np.float64)
    expected = [
        oracle.equalization(row.numpy(), target, counts, drawn.numpy(), threshold)
        for row, target, drawn in zip(logits, targets.tolist(), beta, strict=True)
    ]
    losses = equalization(logits, targets, torch.tensor(COUNTS), beta, threshold)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


def test_a_target_counts_always_however_rare():
    """The factor (1 - y_k) of the publication: without it, a rare target's own logit would be left out of the sum."""
    logits, targets = torch.zeros(5, 5, requires_grad=True), torch.arange(5)
    (gradient,) = torch.autograd.grad(Equalization(COUNTS, gamma=1.0)(logits, targets).sum(), logits)
    frequent_and_own = torch.tensor([2, 2, 3, 3, 3])
    torch.testing.assert_close(gradient.diagonal(), 1 / frequent_and_own - 1)
    spared = [[RARE[k] and k != y for k in range(5)] for y in range(5)]
    assert ((gradient == 0) == torch.tensor(spared)).all()


def test_gamma_is_the_probability_for_each_row_and_class():
    torch.manual_seed(0)
    logits, targets = torch.zeros(4000, 5, requires_grad=True), torch.zeros(4000, dtype=torch.int64)
    (gradient,) = torch.autograd.grad(Equalization(COUNTS, gamma=0.3)(logits, targets).sum(), logits)
    spared = gradient == 0
    assert spared[:, 2:].float().mean(0).tolist() == pytest.approx([0.3] * 3, abs=0.03)
    assert not spared[:, :2].any()
    both = (spared[:, 2] & spared[:, 3]).float().mean().item()
    assert both == pytest.approx(0.09, abs=0.02)


def test_without_draws_it_is_cross_entropy():
    logits, targets = batch_of()
    expected = CrossEntropy(COUNTS)(logits, targets)
    torch.testing.assert_close(Equalization(COUNTS, gamma=0.0)(logits, targets), expected)
    torch.testing.assert_close(Equalization(COUNTS, gamma=1.0, threshold=0.0)(logits, targets), expected)
