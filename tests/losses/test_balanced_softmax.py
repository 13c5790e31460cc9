from __future__ import annotations

import torch

from oponm.losses import BalancedSoftmax, CrossEntropy
from tests.losses.batches import COUNTS, batch_of


def test_only_the_ratios_of_counts_matter():
    logits, targets = batch_of()
    losses = BalancedSoftmax(COUNTS)(logits, targets)
    torch.testing.assert_close(BalancedSoftmax([1000 * count for count in COUNTS])(logits, targets), losses)


def test_equal_counts_give_cross_entropy():
    logits, targets = batch_of()
    torch.testing.assert_close(BalancedSoftmax([7] * 5)(logits, targets), CrossEntropy([7] * 5)(logits, targets))


def test_indifferent_logits_cost_the_entropy_of_the_long_tail():
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    priors = counts / counts.sum()
    losses = BalancedSoftmax(COUNTS)(torch.zeros(5, 5, dtype=torch.float64), torch.arange(5))
    torch.testing.assert_close(losses, -priors.log())


def test_equal_logits_are_right_on_average_over_the_long_tail():
    logits = torch.zeros(sum(COUNTS), 5, dtype=torch.float64, requires_grad=True)
    targets = torch.repeat_interleave(torch.arange(5), torch.tensor(COUNTS))
    (gradient,) = torch.autograd.grad(BalancedSoftmax(COUNTS)(logits, targets).sum(), logits)
    torch.testing.assert_close(gradient.sum(0), torch.zeros(5, dtype=torch.float64), atol=1e-9, rtol=0)
