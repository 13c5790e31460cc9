from __future__ import annotations

import pytest
import torch

from oponm.metrics import Answers, ranking_scores


def area(scores, positive):
    """The share of pairs of a positive and a negative in which the positive ranks higher; ties count half."""
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive].tolist() for b in scores[~positive].tolist()]
    return sum(pairs) / len(pairs)


def precision(scores, positive):
    """The mean over positives of the precision among images that rank at least as high; scores without ties."""
    hits = positive[scores.argsort(descending=True)].double()
    return float((hits.cumsum(0) / torch.arange(1, len(hits) + 1) * hits).sum() / hits.sum())


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_what_their_definitions_say(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(60, num_classes, generator=generator)
    targets = torch.randint(num_classes, (60,), generator=generator)
    probabilities = logits.softmax(1).double()
    measured, labels = ranking_scores(Answers.of(logits, targets)), range(num_classes)
    areas = [area(probabilities[:, label], targets == label) for label in labels]
    precisions = [precision(probabilities[:, label], targets == label) for label in labels]
    assert measured["roc_auc"] == pytest.approx(sum(areas) / num_classes, abs=1e-6)
    assert measured["average_precision"] == pytest.approx(sum(precisions) / num_classes, abs=1e-6)


def test_a_class_without_images_is_left_out():
    logits, targets = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    probabilities = logits.softmax(1).double()
    areas = [area(probabilities[:, label], targets == label) for label in (0, 1)]
    assert ranking_scores(Answers.of(logits, targets))["roc_auc"] == pytest.approx(sum(areas) / 2, abs=1e-6)


def test_one_class_alone_has_no_figure():
    assert ranking_scores(Answers.of(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64))) == {}


def test_many_classes_have_none_as_only_the_likeliest_are_kept():
    assert ranking_scores(Answers.of(torch.randn(4, 1001), torch.arange(4))) == {}
