from __future__ import annotations

import pytest
import torch

from oponm.losses import CrossEntropy, Focal, focal
from tests.losses.batches import COUNTS, batch_of


def test_gamma_0_is_cross_entropy():
    logits, targets = batch_of(dtype=torch.float32)
    torch.testing.assert_close(focal(logits, targets, 0.0), CrossEntropy(COUNTS)(logits, targets))


def test_what_is_right_counts_less_the_larger_gamma():
    logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    losses = [focal(logits, targets, gamma).item() for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[3] / losses[0] == pytest.approx(torch.sigmoid(torch.tensor(-2.0)).item() ** 2)


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.3, 0.99, 1.0, 2.0, 50.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_gradient_vanishes_where_the_target_is_certain(gamma, dtype):
    logits = torch.tensor([[margin, 0.0] for margin in (15.0, 20.0, 40.0, 100.0, 1e4)], dtype=dtype, requires_grad=True)
    losses = Focal(COUNTS[:2], gamma)(logits, torch.zeros(5, dtype=torch.long))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.max() < 1e-6
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("gamma", [1e-3, 0.3, 2.0, 50.0])
def test_a_hopeless_row_has_the_gradient_of_cross_entropy(gamma):
    logits = torch.tensor([[-1e4, 0.0]], requires_grad=True)
    losses = focal(logits, torch.tensor([0]), gamma)
    assert losses.item() == 1e4
    assert torch.autograd.grad(losses.sum(), logits)[0].tolist() == [[-1, 1]]


@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_the_gradient_in_single_precision_is_that_in_double(gamma):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        logits = torch.linspace(-12, 12, 49, dtype=dtype)[:, None] * torch.tensor([1, 0], dtype=dtype)
        logits.requires_grad_()
        losses = focal(logits, torch.zeros(49, dtype=torch.long), gamma)
        gradients.append(torch.autograd.grad(losses.sum(), logits)[0].double())
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)
