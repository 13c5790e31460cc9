from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.losses import LADE, BalancedSoftmax, batch_loss, lade
from tests.losses import oracle
from tests.losses.batches import COUNTS, DRAWN_OR_JOINT, batch_of


@pytest.mark.parametrize("options", [options for make, options in DRAWN_OR_JOINT if make is LADE], ids=str)
@pytest.mark.parametrize("rows", [32, 3])  # three rows leave classes without one
def test_the_mean_over_the_rows_is_the_published_loss(options, rows):
    logits, targets = batch_of(rows)
    settings = {"alpha": 0.1, "regularization": 0.01, **options}
    expected = oracle.lade(logits.numpy(), targets.tolist(), np.array(COUNTS, dtype=np.float64), **settings)
    assert batch_loss(LADE(COUNTS, **options), logits, targets).item() == pytest.approx(expected, rel=1e-10)


def test_without_the_bound_it_is_balanced_softmax():
    logits, targets = batch_of()
    torch.testing.assert_close(LADE(COUNTS, alpha=0)(logits, targets), BalancedSoftmax(COUNTS)(logits, targets))


def test_the_bound_is_least_where_logits_are_log_density_ratios_under_balance():
    """Each row counts by the prior of its own label. With that of the logit's class, the ratios would be to p(x) of the
    long tail: the square then has another minimum."""
    counts, targets = torch.tensor([6, 2]), torch.tensor([0] * 6 + [1] * 2)
    kinds = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1])  # x of each row: p(x | 0) = 2/3, 1/3 and p(x | 1) = 1/2, 1/2
    given = torch.tensor([[2 / 3, 1 / 3], [1 / 2, 1 / 2]], dtype=torch.float64)
    best = (given / given.mean(0)).log().T[kinds].requires_grad_()
    bound = lade(best, targets, counts, alpha=1, regularization=1) - lade(best, targets, counts, alpha=0)
    (gradient,) = torch.autograd.grad(bound.mean(), best)
    by_kind = torch.stack([gradient[kinds == kind].sum(0) for kind in (0, 1)])  # rows of a kind have one logit
    torch.testing.assert_close(by_kind, torch.zeros_like(by_kind), atol=1e-12, rtol=0)


def test_the_square_ends_the_drift_of_a_class_s_logits():
    logits, targets = batch_of()
    drifted = LADE(COUNTS, alpha=1, regularization=0.1)(logits + 50, targets).mean()
    assert drifted > LADE(COUNTS, alpha=1, regularization=0.1)(logits, targets).mean() + 100


def test_the_order_of_rows_changes_nothing():
    logits, targets = batch_of()
    torch.testing.assert_close(LADE(COUNTS)(logits.flip(0), targets.flip(0)), LADE(COUNTS)(logits, targets).flip(0))
