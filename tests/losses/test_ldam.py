from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from oponm.losses import LDAM, CrossEntropy, ldam, ldam_margins
from tests.losses.batches import COUNTS, batch_of


@pytest.mark.parametrize("max_margin", [0.1, 0.5, 2.0])
def test_margins_are_inverse_fourth_roots_and_the_largest_is_given(max_margin):
    margins = ldam_margins(torch.tensor([160_000, 10_000, 16, 1]), max_margin, torch.float64)
    torch.testing.assert_close(margins, max_margin * torch.tensor([0.05, 0.1, 0.5, 1.0], dtype=torch.float64))


def test_it_is_cross_entropy_of_scaled_cosines_less_the_margin():
    scale, targets = 30.0, torch.tensor([0, 3, 4])
    cosines = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(3, 5)
    margins = ldam_margins(torch.tensor(COUNTS), 0.5, torch.float64)
    shifted = cosines.clone()
    shifted[range(3), targets] -= margins[targets]
    expected = F.cross_entropy(scale * shifted, targets, reduction="none")
    torch.testing.assert_close(LDAM(COUNTS, 0.5, scale)(scale * cosines, targets), expected)


def test_balanced_classes_have_one_margin():
    logits, targets = batch_of()
    shift = F.one_hot(targets, 5) * 0.5 * 30
    torch.testing.assert_close(LDAM([7] * 5)(logits, targets), CrossEntropy([7] * 5)(logits - shift, targets))


def test_the_margin_makes_every_row_dearer_the_rarer_its_class():
    logits, targets = torch.zeros(5, 5), torch.arange(5)
    losses = ldam(logits, targets, torch.tensor(COUNTS)).tolist()
    assert losses == sorted(losses)
    assert losses[0] > CrossEntropy(COUNTS)(logits, targets)[0]
