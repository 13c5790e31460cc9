from __future__ import annotations

import pytest
import torch

from oponm.losses import CrossEntropy, LabelAwareSmoothing, smoothing_by_class
from tests.losses.batches import COUNTS, batch_of

FORMS = ["concave", "linear", "convex", "exponential"]


@pytest.mark.parametrize("form", FORMS)
def test_shares_run_from_the_tail_s_to_the_head_s(form):
    power = 2.0 if form == "exponential" else None
    shares = smoothing_by_class(torch.tensor(COUNTS), 0.4, 0.1, form, power, torch.float64)
    torch.testing.assert_close(shares[[0, -1]], torch.tensor([0.4, 0.1], dtype=torch.float64))
    assert shares.tolist() == sorted(shares.tolist(), reverse=True)


def test_a_concave_form_smooths_the_middle_more_than_a_linear_and_that_more_than_a_convex_one():
    counts = torch.tensor([101, 51, 1])
    middles = [smoothing_by_class(counts, 0.4, 0.0, form, dtype=torch.float64)[1].item() for form in FORMS[:3]]
    assert middles == pytest.approx([0.4 * 0.5**0.5, 0.2, 0.4 * (1 - 0.5**0.5)])


@pytest.mark.parametrize("form", FORMS)
def test_balanced_classes_are_all_head(form):
    power = 2.0 if form == "exponential" else None
    assert smoothing_by_class(torch.tensor([7, 7, 7]), 0.4, 0.1, form, power).tolist() == pytest.approx([0.4] * 3)


def test_without_shares_it_is_cross_entropy():
    logits, targets = batch_of()
    torch.testing.assert_close(
        LabelAwareSmoothing(COUNTS, 0.0, 0.0)(logits, targets), CrossEntropy(COUNTS)(logits, targets)
    )


def test_a_share_over_the_others_is_one_over_all_classes_made_larger():
    logits, targets = batch_of()
    over_all = CrossEntropy(COUNTS, label_smoothing=0.3 * 5 / 4)(logits, targets)
    torch.testing.assert_close(LabelAwareSmoothing(COUNTS, 0.3, 0.3)(logits, targets), over_all)


def test_the_best_probability_of_a_target_is_one_less_its_share():
    logits = torch.zeros(2, 5, dtype=torch.float64, requires_grad=True)
    loss, targets = LabelAwareSmoothing(COUNTS, 0.4, 0.1), torch.tensor([0, 4])
    best = torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1], [0.025, 0.025, 0.025, 0.025, 0.9]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(loss(best.log() + logits, targets).sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
