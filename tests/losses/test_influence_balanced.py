from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oponm.losses import InfluenceBalanced, influence_balanced
from tests.losses import oracle
from tests.losses.batches import COUNTS, batch_of


def test_the_divisor_is_the_norm_of_the_gradient_in_the_classifier_s_weights():
    logits, targets = batch_of(rows=6)
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = InfluenceBalanced(COUNTS)(logits, targets, features.abs().sum(1))
    counts = np.array(COUNTS, dtype=np.float64)
    expected = [
        oracle.influence_balanced(row.numpy(), target, counts, features=seen.numpy())
        for row, target, seen in zip(logits, targets.tolist(), features, strict=True)
    ]
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


def test_gradients_pass_through_the_influence_too():
    """A careless implementation detaches the factor; the authors do not. For a sure row that is another loss."""
    counts, norms, targets, step = torch.tensor([1, 1]), torch.ones(1, dtype=torch.float64), torch.tensor([0]), 1e-6
    logits = torch.tensor([[6.0, 0.0]], dtype=torch.float64, requires_grad=True)

    def loss(moved=0.0, **options):
        shift = torch.tensor([[moved, 0.0]], dtype=torch.float64)
        return influence_balanced(logits + shift, targets, norms, counts, alpha=1.0, **options).sum()

    (gradient,) = torch.autograd.grad(loss(), logits)
    slope = (loss(step) - loss(-step)).item() / (2 * step)
    assert gradient[0, 0].item() == pytest.approx(slope, rel=1e-5)
    p = logits.detach().softmax(1)
    as_weight = (p - F.one_hot(targets, 2)) / (2 * (1 - p[0, 0]) + 1e-3)
    assert abs(gradient[0, 0]) < 0.5 * abs(as_weight[0, 0])
    constant = loss(constant_influence=True)
    assert torch.equal(constant, loss())
    torch.testing.assert_close(torch.autograd.grad(constant, logits)[0], as_weight)


def test_rows_with_large_features_and_frequent_classes_weigh_less():
    logits, targets = torch.zeros(3, 5), torch.tensor([0, 0, 4])
    losses = InfluenceBalanced(COUNTS)(logits, targets, torch.tensor([1.0, 10.0, 1.0]))
    assert losses[0] > 9 * losses[1]
    torch.testing.assert_close(losses[2] / losses[0], torch.tensor(5000.0))


def test_features_are_required():
    with pytest.raises(TypeError, match="feature_norms"):
        InfluenceBalanced(COUNTS)(*batch_of())
