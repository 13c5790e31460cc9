from __future__ import annotations

import pytest
import torch

from oponm.losses import BalancedSoftmax, CrossEntropy, LogitAdjustment
from tests.losses.batches import COUNTS, batch_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_tau_1_is_balanced_softmax(dtype):
    logits, targets = batch_of(dtype=dtype)
    torch.testing.assert_close(LogitAdjustment(COUNTS)(logits, targets), BalancedSoftmax(COUNTS)(logits, targets))


def test_tau_0_is_cross_entropy():
    logits, targets = batch_of()
    losses = LogitAdjustment(COUNTS, tau=0)(logits, targets)
    assert torch.equal(losses, CrossEntropy(COUNTS)(logits, targets))


def test_the_larger_tau_the_dearer_a_rare_class_and_the_cheaper_a_frequent_one():
    logits, targets = torch.zeros(2, 5), torch.tensor([0, 4])
    frequent, rare = zip(*(LogitAdjustment(COUNTS, tau)(logits, targets).tolist() for tau in (0.5, 1, 2)), strict=True)
    assert list(frequent) == sorted(frequent, reverse=True)
    assert list(rare) == sorted(rare)
