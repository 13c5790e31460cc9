from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from oponm.losses import CrossEntropy, batch_loss
from tests.losses.batches import COUNTS, batch_of


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_it_is_torch_s(label_smoothing):
    logits, targets = batch_of(dtype=torch.float32)
    result = batch_loss(CrossEntropy(COUNTS, label_smoothing), logits, targets)
    torch.testing.assert_close(result, F.cross_entropy(logits, targets, label_smoothing=label_smoothing))


def test_smoothing_puts_the_smallest_loss_at_the_smoothed_target():
    smoothed = torch.tensor([[0.84, 0.04, 0.04, 0.04, 0.04]])
    logits = smoothed.log().requires_grad_()
    (gradient,) = torch.autograd.grad(CrossEntropy(COUNTS, 0.2)(logits, torch.tensor([0])).sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros(1, 5), atol=1e-7, rtol=0)


def test_the_counts_do_not_matter():
    logits, targets = batch_of()
    assert torch.equal(CrossEntropy(COUNTS)(logits, targets), CrossEntropy(COUNTS[::-1])(logits, targets))
