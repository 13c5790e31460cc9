from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.metrics.answers import Answers, Predicted, write_predictions
from oponm.report.predictions import Predictions, read_predictions, reliability, worst_errors


def written(folder, logits: torch.Tensor, targets: torch.Tensor, names: list[str] | None = None) -> list[str]:
    classes = names or [f"class {label}" for label in range(logits.shape[1])]
    images = [f"{number}.png" for number in range(len(logits))]
    write_predictions(folder, Predicted("path", images, classes, Answers.of(logits, targets)))
    return classes


@pytest.mark.parametrize("classes", [3, 1001], ids=["each class", "the likeliest alone"])
def test_it_reads_what_a_run_writes(tmp_path, classes):
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % classes
    found = read_predictions(tmp_path, written(tmp_path, logits, targets))
    confidence, predicted = logits.softmax(1).max(1)
    assert found.kind == "path"
    assert found.images[:2] == ["0.png", "1.png"]
    assert found.targets.tolist() == targets.tolist()
    assert found.predicted.tolist() == predicted.tolist()
    assert found.confidence == pytest.approx(confidence.numpy(), abs=1e-6)


def test_names_may_hold_anything(tmp_path):
    names = ['a,"b"', "p_cat\nx", "犬"]
    found = read_predictions(tmp_path, written(tmp_path, torch.eye(3), torch.tensor([1, 1, 2]), names))
    assert (found.targets.tolist(), found.predicted.tolist()) == ([1, 1, 2], [0, 1, 2])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "first line"),
        ("file,class,prediction,p_a,p_b\n", "first line"),
        ("path,class,prediction,p_a,p_b\n1.png,a,c,0.5,0.5\n", "line 2"),
        ("path,class,prediction,p_a,p_b\n1.png,a,b,0.5,nan\n", "line 2"),
        ("path,class,prediction,p_a,p_b\n1.png,a,b,0.5,1.5\n", "line 2"),
        ("path,class,prediction,p_a,p_b\n1.png,a,b,0.5,0.5\n2.png\n", "line 3"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, text, word):
    (tmp_path / "test_predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=word):
        read_predictions(tmp_path, ["a", "b"])


def test_no_row_is_no_error(tmp_path):
    (tmp_path / "test_predictions.csv").write_text("path,class,prediction,p_a,p_b\n")
    assert read_predictions(tmp_path, ["a", "b"]).images == []


def test_the_surest_errors_of_a_class_come_first():
    random = np.random.default_rng(0)
    targets, predicted, confidence = random.integers(3, size=99), random.integers(3, size=99), random.random(99)
    found = worst_errors(Predictions("index", ["x"] * 99, targets, predicted, confidence), 1, most=4)
    wrong = sorted(
        (place for place in range(99) if targets[place] == 1 != predicted[place]), key=lambda p: -confidence[p]
    )
    assert found == wrong[:4]


def test_the_calibration_error_is_the_metric(digits_run):
    found = reliability(read_predictions(digits_run["folder"], digits_run["class_names"]))
    assert found.error / 100 == pytest.approx(digits_run["metrics"]["ece"], abs=1e-4)
    images = sum(bar.images for bar in found.bars.values())
    assert images == sum(digits_run["test_counts"])
    right = sum(bar.images * bar.accuracy for bar in found.bars.values()) / images
    assert right / 100 == pytest.approx(digits_run["metrics"]["accuracy"])


def test_certainty_is_in_the_last_bin_and_empty_bins_have_no_bar():
    found = reliability(Predictions("index", ["a"], np.array([0]), np.array([0]), np.array([1.0])))
    assert [(place, bar.images) for place, bar in found.bars.items()] == [(14, 1)]
    assert (found.error, found.most, found.bins) == (0, 1, 15)
