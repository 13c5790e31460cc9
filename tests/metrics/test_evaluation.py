from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    top_k_accuracy_score,
)

from oponm.errors import InputError
from oponm.metrics import Evaluation, evaluation_metrics, summarize
from tests.metrics.answers import answers, confusion_of, logits_of

TAIL = [1000, 600, 300, 150, 90, 50, 30, 15, 8, 4]


def measure(num_classes: int, *batches: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    metrics = evaluation_metrics(num_classes, confusions=True)
    for logits, targets in batches:
        metrics.update(logits, targets)
    return metrics.compute()


def evaluate(logits: torch.Tensor, targets: torch.Tensor, counts: list[int]) -> Evaluation:
    return summarize(measure(logits.shape[1], (logits, targets)), counts)


def assert_as_scikit_learn_has_it(logits: torch.Tensor, targets: torch.Tensor) -> None:
    num_classes, predicted = logits.shape[1], logits.argmax(1)
    labels = range(num_classes)
    measured = evaluate(logits, targets, [50] * num_classes)
    expected = {
        "accuracy": accuracy_score(targets, predicted),
        "balanced_accuracy": balanced_accuracy_score(targets, predicted),
        "macro_f1": f1_score(targets, predicted, average="macro"),
        "medium": balanced_accuracy_score(targets, predicted),
    }
    if num_classes > 5:
        expected["top5_accuracy"] = top_k_accuracy_score(targets, logits.numpy(), k=5, labels=labels)
    recall = recall_score(targets, predicted, average=None, labels=labels, zero_division=np.nan)
    expected["geometric_mean"] = np.prod(recall[~np.isnan(recall)] ** (1 / np.sum(~np.isnan(recall))))
    assert {name: value for name, value in measured.scalars.items() if name != "ece"} == pytest.approx(
        expected, abs=1e-6
    )
    precision = precision_score(targets, predicted, average=None, labels=labels, zero_division=np.nan)
    for ours, theirs in ((measured.recall, recall), (measured.precision, precision)):
        np.testing.assert_allclose(np.array(ours, dtype=float), theirs, atol=1e-6)  # None becomes NaN
    assert measured.confusion_matrix.toarray().tolist() == confusion_matrix(targets, predicted, labels=labels).tolist()


@pytest.mark.parametrize("num_classes", [2, 3, 5, 6, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_scikit_learn(num_classes, seed):
    assert_as_scikit_learn_has_it(*answers(num_classes, seed=seed))


@pytest.mark.parametrize("num_classes", [3, 7])
@pytest.mark.parametrize("kind", ["right", "wrong", "constant"])
def test_extreme_answers(num_classes, kind):
    _, targets = answers(num_classes, rows=60)
    shift = {"right": targets, "wrong": (targets + 1) % num_classes, "constant": torch.zeros_like(targets)}[kind]
    noise = torch.rand(60, num_classes, generator=torch.Generator().manual_seed(0))  # so that ranks have no ties
    assert_as_scikit_learn_has_it(logits_of(shift.tolist(), num_classes) + noise, targets)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("predicted", [True, False], ids=["predicted", "never predicted"])
def test_a_class_without_test_images(predicted):
    logits, targets = answers(8)
    targets[targets == 3] = 4
    if not predicted:
        logits[:, 3] = -99
    assert_as_scikit_learn_has_it(logits, targets)
    measured = evaluate(logits, targets, TAIL[:8])
    assert measured.recall[3] is None
    assert (measured.precision[3] is None) is not predicted
    known = [recall for recall in measured.recall if recall is not None]
    assert measured.scalars["balanced_accuracy"] == pytest.approx(np.mean(known), abs=1e-6)


def test_a_group_without_test_images_is_absent():
    measured = evaluate(logits_of([0, 0, 1, 3, 4], 5), torch.tensor([0, 0, 1, 3, 4]), [500, 400, 50, 9, 8])
    assert {"many": 1.0, "few": 1.0}.items() <= measured.scalars.items()
    assert "medium" not in measured.scalars
    assert measured.fifths == [1, 1, None, 1, 1]


@pytest.mark.parametrize("num_classes", [2, 5, 6])
def test_five_guesses_are_counted_where_they_can_be_wrong(num_classes):
    assert ("top5_accuracy" in measure(num_classes, answers(num_classes))) == (num_classes > 5)


def test_top_5_does_not_become_top_1_after_a_batch_in_which_they_agree():
    agree = logits_of([0, 1, 2], 10), torch.tensor([0, 1, 2])
    differ = torch.arange(10.0)[None].expand(4, 10), torch.tensor([5, 6, 7, 8])
    scalars = summarize(measure(10, agree, differ), [50] * 10).scalars
    assert scalars["top5_accuracy"] == 1
    assert scalars["accuracy"] == pytest.approx(3 / 7, abs=1e-6)


@pytest.mark.parametrize("sizes", [[1] * 60, [50, 10], [7, 1, 52], [59, 1]], ids=str)
@pytest.mark.parametrize("num_classes", [5, 10])
def test_batches_add_up_to_the_whole(sizes, num_classes):
    logits, targets = answers(num_classes, rows=60)
    parts = zip(logits.split(sizes), targets.split(sizes), strict=True)
    counts = [50] * num_classes
    summed, whole = summarize(measure(num_classes, *parts), counts), evaluate(logits, targets, counts)
    assert summed.scalars == pytest.approx(whole.scalars, abs=2e-6)
    assert summed[1:4] == whole[1:4]
    assert (summed.confusion_matrix != whole.confusion_matrix).nnz == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_precision_counts_its_own_predictions(dtype):
    logits, targets = answers(10)
    logits = logits.to(dtype)
    expected = confusion_of(targets.tolist(), logits.argmax(1).tolist(), 10)
    assert evaluate(logits, targets, TAIL).confusion_matrix.toarray().tolist() == expected.tolist()


@pytest.mark.parametrize("num_images", [10, 1000])
def test_the_state_is_small_whatever_the_number_of_images(num_images):
    metrics = evaluation_metrics(100)
    metrics.update(*answers(100, rows=100 + num_images))
    states = [state for metric in metrics.values() for state in metric.metric_state.values()]
    assert sum(state.numel() for state in states) == 7 * 100 + 16


def test_confusions_take_a_number_an_image_whatever_the_classes():
    metrics, classes = evaluation_metrics(20_000, confusions=True), 20_000
    logits = torch.zeros(3, classes)
    logits[[0, 1, 2], [7, 7, 19_999]] = 1
    metrics.update(logits, torch.tensor([7, 0, 19_999]))
    states = [state for metric in metrics.values() for state in metric.metric_state.values()]
    parts = [part for state in states for part in (state if isinstance(state, list) else [state])]
    assert sum(part.numel() for part in parts) < 8 * classes
    matrix = summarize(metrics.compute(), [1] * classes, many_over=1, few_under=1).confusion_matrix
    assert matrix.shape == (classes, classes)
    assert (matrix[7, 7], matrix[0, 7], matrix[19_999, 19_999], matrix.nnz) == (1, 1, 1, 3)


def test_confusions_are_counted_where_that_is_asked_for():
    assert summarize(evaluate_alone(), TAIL).confusion_matrix is None


def evaluate_alone() -> dict[str, torch.Tensor]:
    metrics = evaluation_metrics(10)
    metrics.update(*answers(10))
    return metrics.compute()


def test_a_reset_forgets():
    metrics, (logits, targets) = evaluation_metrics(6), answers(6)
    metrics.update(-logits, targets)
    metrics.reset()
    metrics.update(logits, targets)
    assert summarize(metrics.compute(), [50] * 6) == evaluate(logits, targets, [50] * 6)._replace(confusion_matrix=None)


def summary(recall: list[float], counts: list[int], **thresholds: int) -> Evaluation:
    right = torch.tensor([round(10 * value) for value in recall])
    counted = torch.stack([right, torch.full_like(right, 10), right + (10 - right).roll(1)])
    result = summarize({"class_counts": counted, "ece": torch.tensor(0.5)}, counts, **thresholds)
    assert result.recall == pytest.approx(recall)
    return result


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
    scalars = summary([0.9, 0.8, 0.5, 0.1], counts, **thresholds).scalars
    assert {name: scalars[name] for name in ("many", "medium", "few") if name in scalars} == pytest.approx(expected)


def test_fifths_are_means_over_classes_the_rarest_in_training_first():
    recall = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert summary(recall, TAIL).fifths == pytest.approx([0.05, 0.25, 0.45, 0.65, 0.85])
    assert summary(recall, TAIL[::-1]).fifths == pytest.approx([0.85, 0.65, 0.45, 0.25, 0.05])
    assert summary(recall[:6], TAIL[:6]).fifths == pytest.approx([0.45, 0.6, 0.7, 0.8, 0.9])
    assert summary(recall[:4], TAIL[:4]).fifths == []


def test_a_summary_is_plain_numbers_that_json_has():
    logits, targets = answers(10)
    targets[targets == 3] = 4
    measured = evaluate(logits, targets, TAIL)._replace(confusion_matrix=None)
    assert list(measured.scalars) == [
        "accuracy",
        "top5_accuracy",
        "balanced_accuracy",
        "macro_f1",
        "geometric_mean",
        "many",
        "medium",
        "few",
        "ece",
    ]
    assert all(type(value) is float for value in measured.scalars.values())
    assert Evaluation(*json.loads(json.dumps(measured, allow_nan=False))) == measured


def test_overlapping_shots_are_refused():
    with pytest.raises(InputError) as error:
        summary([0.5, 0.5], [10, 5], many_over=5, few_under=6)
    assert error.value.key == "many_over"


def test_nothing_to_evaluate_on_is_refused():
    values = {"class_counts": torch.zeros(3, 2, dtype=torch.int64), "ece": torch.tensor(float("nan"))}
    with pytest.raises(InputError, match="no image to evaluate on"):
        summarize(values, [10, 5])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_they_are_the_same_on_cuda():
    logits, targets = answers(10)
    metrics = evaluation_metrics(10).cuda()
    metrics.update(logits.cuda(), targets.cuda())
    there, here = summarize(metrics.compute(), TAIL), evaluate(logits, targets, TAIL)
    assert there.scalars == pytest.approx(here.scalars, abs=2e-6)
    assert there[1:] == here[1:]
