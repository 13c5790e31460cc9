from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score

from oponm.errors import InputError
from oponm.metrics import ClassCounts, class_precision, class_recall, geometric_mean, macro_f1, mean_recall
from tests.metrics.answers import logits_of

NAN = float("nan")
CASES = {
    "all right": ([0, 0, 1, 2, 2], [0, 0, 1, 2, 2]),
    "all wrong": ([0, 0, 1, 2, 2], [1, 2, 0, 0, 1]),
    "one answer": ([0, 0, 1, 2, 2], [1, 1, 1, 1, 1]),
    "one image": ([2], [0]),
    "a class without images": ([0, 0, 2, 2], [0, 2, 2, 0]),
    "a class without images that is predicted": ([0, 0, 2, 2], [0, 1, 2, 1]),
    "random": (np.random.default_rng(0).integers(3, size=200), np.random.default_rng(1).integers(3, size=200)),
}
each_case = pytest.mark.parametrize(("targets", "predicted"), CASES.values(), ids=CASES)


def counts_of(targets: list[int], predicted: list[int]) -> torch.Tensor:
    counts = ClassCounts(3)
    counts.update(logits_of(list(predicted), 3), torch.tensor(targets))
    return counts.compute()


@each_case
def test_recall_and_precision_are_those_of_scikit_learn(targets, predicted):
    hits, images, taken = counts_of(targets, predicted)
    options = {"average": None, "labels": range(3), "zero_division": np.nan}
    np.testing.assert_allclose(class_recall(hits, images), recall_score(targets, predicted, **options))
    np.testing.assert_allclose(class_precision(hits, taken), precision_score(targets, predicted, **options))


@each_case
def test_macro_f1_is_that_of_scikit_learn(targets, predicted):
    expected = f1_score(targets, predicted, average="macro")
    assert float(macro_f1(*counts_of(targets, predicted))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("recall", "correction", "expected"),
    [
        ([0.9, 0.4], 0.0, 0.6),
        ([1.0, 1.0, 1.0], 0.0, 1.0),
        ([0.9, 0.0], 0.0, 0.0),
        ([0.9, 0.0], 0.4, 0.6),
        ([0.9, 0.1], 0.4, 0.6),
        ([0.9, 0.4], 0.4, 0.6),
        ([0.0, 0.0], 0.001, 0.001),
        ([0.9, NAN, 0.4], 0.0, 0.6),
        ([0.9, NAN, 0.4], 0.001, 0.6),
    ],
)
def test_the_geometric_mean_by_hand(recall, correction, expected):
    result = geometric_mean(torch.tensor(recall, dtype=torch.float64), correction)
    assert float(result) == pytest.approx(expected, abs=1e-12)


def test_the_geometric_mean_of_many_small_recalls_does_not_underflow():
    assert float(geometric_mean(torch.full((1000,), 0.01))) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("correction", [-0.1, 1.1, NAN])
def test_corrections_that_cannot_be(correction):
    with pytest.raises(InputError, match="correction must lie in"):
        geometric_mean(torch.tensor([0.5]), correction)


@pytest.mark.parametrize(
    ("classes", "expected"), [([0], 0.9), ([0, 1], 0.6), ([0, 1, 2], 0.6), ([2], None), ([], None)]
)
def test_the_mean_recall_of_some_classes(classes, expected):
    assert mean_recall(torch.tensor([0.9, 0.3, NAN]), classes) == pytest.approx(expected)
