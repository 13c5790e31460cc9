from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from oponm.errors import InputError
from oponm.metrics import evaluation_metrics, summarise


def answers(num_classes: int, rows: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that are right more often than not, and long-tailed targets in which every class occurs."""
    rng = np.random.default_rng(seed)
    tail = (num_classes * rng.random(rows - num_classes) ** 2).astype(np.int64)
    targets = rng.permutation(np.concatenate([np.arange(num_classes), tail]))
    scores = rng.normal(size=(rows, num_classes))
    scores[np.arange(rows), targets] += 1.5
    return torch.from_numpy(scores), torch.from_numpy(targets)


def measure(num_classes: int, *batches: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    metrics = evaluation_metrics(num_classes)
    for scores, targets in batches:
        metrics.update(scores, targets)
    return metrics.compute()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_scikit_learn(num_classes, seed):
    scores, targets = answers(num_classes, seed=seed)
    values, predicted = measure(num_classes, (scores, targets)), scores.argmax(1)
    assert set(values) == {"accuracy", "balanced_accuracy", "recall"}
    assert float(values["accuracy"]) == pytest.approx(accuracy_score(targets, predicted), abs=1e-6)
    assert float(values["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(targets, predicted), abs=1e-6)
    expected = recall_score(targets, predicted, average=None, labels=range(num_classes))
    np.testing.assert_allclose(values["recall"].numpy(), expected, atol=1e-6)
    assert abs(float(values["accuracy"] - values["balanced_accuracy"])) > 1e-4


@pytest.mark.parametrize("sizes", [[1] * 60, [50, 10], [7, 1, 52], [59, 1]], ids=str)
@pytest.mark.parametrize("labels", [True, False])
def test_batches_add_up_to_the_whole(sizes, labels):
    scores, targets = answers(5, rows=60)
    given = scores.argmax(1) if labels else scores
    parts = list(zip(given.split(sizes), targets.split(sizes), strict=True))
    assert_same(measure(5, *parts), measure(5, (given, targets)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_scores_and_labels_measure_the_same(dtype):
    scores, targets = answers(10)
    scores = scores.to(dtype)
    assert_same(measure(10, (scores, targets)), measure(10, (scores.argmax(1), targets)))


def test_probabilities_measure_the_same_as_logits():
    scores, targets = answers(10)
    assert_same(measure(10, (scores.softmax(1), targets)), measure(10, (scores, targets)))


@pytest.mark.parametrize(
    ("predicted", "accuracy", "balanced", "recall"),
    [
        ([0, 0, 0, 0, 0, 0], 4 / 6, 1 / 3, [1, 0, 0]),
        ([0, 0, 0, 0, 1, 2], 1, 1, [1, 1, 1]),
        ([1, 1, 1, 1, 0, 0], 0, 0, [0, 0, 0]),
        ([0, 1, 1, 0, 1, 1], 3 / 6, 1 / 2, [0.5, 1, 0]),
    ],
)
def test_by_hand(predicted, accuracy, balanced, recall):
    values = measure(3, (torch.tensor(predicted), torch.tensor([0, 0, 0, 0, 1, 2])))
    assert float(values["accuracy"]) == pytest.approx(accuracy)
    assert float(values["balanced_accuracy"]) == pytest.approx(balanced)
    assert values["recall"].tolist() == pytest.approx(recall)


def test_a_reset_forgets():
    metrics, (scores, targets) = evaluation_metrics(5), answers(5)
    metrics.update(-scores, targets)
    metrics.reset()
    metrics.update(scores, targets)
    assert_same(metrics.compute(), measure(5, (scores, targets)))


def summary(recall: list[float], counts: list[int], **thresholds: int) -> dict[str, float]:
    values = {"accuracy": torch.tensor(0.7), "balanced_accuracy": torch.tensor(0.6), "recall": torch.tensor(recall)}
    scalars, per_class = summarise(values, counts, **thresholds)
    assert per_class == pytest.approx(recall, abs=1e-6)
    assert scalars["accuracy"] == pytest.approx(0.7, abs=1e-6)
    assert scalars["balanced_accuracy"] == pytest.approx(0.6, abs=1e-6)
    assert all(type(value) is float for value in (*scalars.values(), *per_class))
    return {name: value for name, value in scalars.items() if name not in ("accuracy", "balanced_accuracy")}


@pytest.mark.parametrize(
    ("counts", "thresholds", "expected"),
    [
        ([500, 200, 50, 10], {}, {"many": 0.85, "medium": 0.5, "few": 0.1}),
        ([10, 50, 200, 500], {}, {"many": 0.3, "medium": 0.8, "few": 0.9}),
        ([101, 100, 20, 19], {}, {"many": 0.9, "medium": 0.65, "few": 0.1}),
        ([500, 400, 300, 200], {}, {"many": 0.575}),
        ([5, 4, 3, 2], {}, {"few": 0.575}),
        ([500, 400, 3, 2], {}, {"many": 0.85, "few": 0.3}),
        ([9, 8, 4, 2], {"many_over": 8, "few_under": 4}, {"many": 0.9, "medium": 0.65, "few": 0.1}),
    ],
)
def test_shots_are_means_over_classes(counts, thresholds, expected):
    assert summary([0.9, 0.8, 0.5, 0.1], counts, **thresholds) == pytest.approx(expected, abs=1e-6)


def test_a_summary_is_that_of_what_was_measured():
    scores, targets = answers(10)
    counts = [1000, 600, 300, 150, 90, 50, 30, 15, 8, 4]
    values, predicted = measure(10, (scores, targets)), scores.argmax(1)
    scalars, per_class = summarise(values, counts)
    recall = recall_score(targets, predicted, average=None)
    assert list(scalars) == ["accuracy", "balanced_accuracy", "many", "medium", "few"]
    assert per_class == pytest.approx(recall.tolist(), abs=1e-6)
    assert list(scalars.values()) == pytest.approx(
        [accuracy_score(targets, predicted), recall.mean(), recall[:4].mean(), recall[4:7].mean(), recall[7:].mean()],
        abs=1e-5,
    )


def test_overlapping_shots_are_refused():
    with pytest.raises(InputError) as error:
        summary([0.5, 0.5], [10, 5], many_over=5, few_under=6)
    assert error.value.key == "many_over"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_they_are_the_same_on_cuda():
    scores, targets = answers(10)
    metrics = evaluation_metrics(10).cuda()
    metrics.update(scores.cuda(), targets.cuda())
    assert summarise(metrics.compute(), [50] * 10) == summarise(measure(10, (scores, targets)), [50] * 10)
