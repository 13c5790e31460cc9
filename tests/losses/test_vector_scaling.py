from __future__ import annotations

import torch

from oponm.losses import CDT, CrossEntropy, LogitAdjustment, VectorScaling, temperatures
from tests.losses.batches import COUNTS, batch_of


def test_temperatures_are_at_least_one_and_highest_for_the_rarest():
    heats = temperatures(torch.tensor([10_000, 100, 1]), 0.25, torch.float64)
    torch.testing.assert_close(heats, torch.tensor([1, 10**0.5, 10], dtype=torch.float64))


def test_its_two_halves_are_logit_adjustment_and_cdt():
    logits, targets = batch_of()
    adjusted = LogitAdjustment(COUNTS, tau=1.5)(logits, targets)
    torch.testing.assert_close(VectorScaling(COUNTS, gamma=0, tau=1.5)(logits, targets), adjusted)
    torch.testing.assert_close(VectorScaling(COUNTS, 0.3, tau=0)(logits, targets), CDT(COUNTS, 0.3)(logits, targets))
    torch.testing.assert_close(CDT(COUNTS, gamma=0)(logits, targets), CrossEntropy(COUNTS)(logits, targets))


def test_every_class_is_divided_not_the_target_alone():
    """The sum has temperatures too: a margin on the target alone would leave the others' gradients larger."""
    logits, targets = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True), torch.tensor([0])
    (gradient,) = torch.autograd.grad(CDT(COUNTS, gamma=0.3)(logits, targets).sum(), logits)
    expected = 0.2 / temperatures(torch.tensor(COUNTS), 0.3, torch.float64)
    torch.testing.assert_close(gradient[0, 1:], expected[1:])


def test_a_rare_class_needs_a_larger_logit_for_the_same_loss():
    rare, frequent = (CDT(COUNTS)(5 * torch.eye(5)[[row]], torch.tensor([row])) for row in (4, 0))
    assert rare > frequent
