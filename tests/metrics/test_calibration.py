from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from oponm.errors import InputError
from oponm.metrics import ExpectedCalibrationError
from tests.metrics.answers import answers


def measure(*batches: tuple[Tensor, Tensor], num_bins: int = 15) -> float:
    metric = ExpectedCalibrationError(num_bins)
    for logits, targets in batches:
        metric.update(logits, targets)
    return float(metric.compute())


def by_definition(confidence: np.ndarray, correct: np.ndarray, num_bins: int) -> float:
    """The textbook's sum over bins [b / B, (b + 1) / B), the last one closed."""
    error = 0.0
    for bin in range(num_bins):
        inside = (confidence >= bin / num_bins) & ((confidence < (bin + 1) / num_bins) | (bin == num_bins - 1))
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return error


def of_confidence(confidence: list[float], correct: list[bool]) -> tuple[Tensor, Tensor]:
    """Two classes of which the first is predicted."""
    probability = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([probability, 1 - probability], 1).log(), torch.tensor([0 if right else 1 for right in correct])


@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_it_is_that_of_torchmetrics(num_classes, num_bins):
    for seed in range(5):
        logits, targets = answers(num_classes, rows=1000, seed=seed)
        expected = multiclass_calibration_error(logits.softmax(1), targets, num_classes, num_bins, norm="l1")
        assert measure((logits, targets), num_bins=num_bins) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0, 1000.0])
def test_it_is_the_definition_s_from_unsure_to_saturated(scale):
    logits, targets = answers(10, rows=1000)
    confidence, predicted = (scale * logits.float()).softmax(1).max(1)
    expected = by_definition(confidence.double().numpy(), (predicted == targets).numpy(), 15)
    assert measure((scale * logits, targets)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "correct", "expected"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.75, 0.75, 0.75, 0.75], [True, True, True, False], 0.0),
        ([0.95, 0.99], [True, False], abs(1 - 0.95 - 0.99) / 2),
        ([0.95, 0.55], [False, True], (0.95 + 0.45) / 2),
        ([1.0, 0.95], [True, False], 0.95 / 2),
    ],
)
def test_by_hand(confidence, correct, expected):
    assert measure(of_confidence(confidence, correct)) == pytest.approx(expected, abs=1e-6)


def test_logits_within_0_and_1_are_no_probabilities():
    assert measure((torch.tensor([[1.0, 0.0]]), torch.tensor([0]))) == pytest.approx(1 - 1 / (1 + np.exp(-1)))


def test_batches_add_up_to_the_whole():
    logits, targets = answers(10, rows=1000)
    parts = zip(logits.split([1, 699, 300]), targets.split([1, 699, 300]), strict=True)
    assert measure(*parts) == pytest.approx(measure((logits, targets)), abs=1e-6)


def test_its_state_does_not_grow():
    metric = ExpectedCalibrationError()
    for seed in range(3):
        metric.update(*answers(10, seed=seed))
    assert sum(state.numel() for state in metric.metric_state.values()) == 16


def test_half_precision_is_summed_in_single():
    logits, targets = answers(10, rows=5000)
    logits = logits.to(torch.float16)
    assert measure((logits, targets)) == measure((logits.float(), targets))


def test_there_must_be_a_bin():
    with pytest.raises(InputError, match="num_bins must be a whole number of at least 1"):
        ExpectedCalibrationError(0)
