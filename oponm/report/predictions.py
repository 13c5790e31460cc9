"""A run's predictions for its test images: the worst errors, and how reliable the probabilities are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from oponm.run_files import PREDICTIONS_FILE

BINS = 15  # as in the metric


class Predictions(NamedTuple):
    """A ``test_predictions.csv``, without the probabilities of classes that were not predicted.

    Attributes:
        kind: what ``images`` are: ``"path"`` or ``"index"``.
        images: names of the images, N.
        targets: labels of the true classes, (N,).
        predicted: labels of the predicted classes, (N,).
        confidence: probability of the predicted class, (N,).
    """

    kind: str
    images: list[str]
    targets: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray


def read_predictions(folder: Path, class_names: Sequence[str]) -> Predictions:
    r"""Read the ``test_predictions.csv`` of a run, row by row, as all its probabilities may not fit in memory.

    Args:
        folder: folder of the run.
        class_names: class names by label.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if a line is not what a run writes; it names the line.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> lines = ["path,class,prediction,p_cat,p_dog", "cat/1.jpg,cat,dog,0.25,0.75"]
        >>> _ = (folder / "test_predictions.csv").write_text("\n".join(lines))
        >>> read_predictions(folder, ["cat", "dog"]).confidence.tolist()
        [0.75]
    """
    labels = {name: label for label, name in enumerate(class_names)}
    images: list[str] = []
    rows: list[tuple[int, int, float]] = []
    file = folder / PREDICTIONS_FILE
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as opened:
        reader = csv.reader(opened)
        head = next(reader, [])
        if head[:1] not in (["path"], ["index"]) or head[1:3] != ["class", "prediction"]:
            raise ValueError(f"{PREDICTIONS_FILE}: the first line names no columns of a run")
        ranked = head[3:4] == ["class_1"]  # of many classes the likeliest alone, the first of which is the prediction
        try:
            for row in reader:
                target, predicted = labels[row[1]], labels[row[2]]
                confidence = float(row[4 if ranked else 3 + predicted])
                if not 0 <= confidence <= 1:
                    raise ValueError
                images.append(row[0])
                rows.append((target, predicted, confidence))
        except (IndexError, KeyError, ValueError, csv.Error) as error:
            raise ValueError(f"{PREDICTIONS_FILE}: line {reader.line_num} is not what a run writes") from error
    targets, answers, confidences = (np.array([row[place] for row in rows]) for place in range(3))
    return Predictions(head[0], images, targets.astype(int), answers.astype(int), confidences.astype(float))


def worst_errors(predictions: Predictions, label: int, most: int) -> list[int]:
    """Return the wrong predictions for images of a class in which the network was most confident.

    Args:
        predictions: predictions of a run.
        label: label of the true class.
        most: largest number of predictions to return.

    Returns:
        Their indices in ``predictions``, the highest probability of a wrong class first.

    Example:
        >>> confidence = np.array([0.6, 0.9, 0.8, 0.7])
        >>> found = Predictions("index", list("abcd"), np.array([0, 0, 0, 1]), np.array([1, 1, 0, 0]), confidence)
        >>> worst_errors(found, 0, most=5)
        [1, 0]
    """
    wrong = np.flatnonzero((predictions.targets == label) & (predictions.predicted != label))
    order = np.argsort(-predictions.confidence[wrong], kind="stable")[:most]
    return [int(place) for place in wrong[order]]


def reliability(predictions: Predictions) -> SimpleNamespace:
    """Return a reliability diagram: accuracy and mean confidence in bins of equal width, those of the metric ``ece``.

    Args:
        predictions: predictions of a run, at least one.

    Returns:
        ``text``, the meaning of the diagram in words; ``error``, the expected calibration error in percent, see
        :class:`~oponm.metrics.ExpectedCalibrationError`; ``bars``, for each bin with images, by its index, the number
        of ``images``, and ``confidence`` and ``accuracy`` in percent; ``most``, the largest number of images in a bin;
        and ``bins``, the number of bins.

    Example:
        >>> found = Predictions("index", ["a", "b"], np.array([0, 0]), np.array([0, 1]), np.array([0.9, 0.9]))
        >>> round(reliability(found).error, 1)
        40.0
    """
    correct = (predictions.targets == predictions.predicted).astype(float)
    bins = np.minimum((predictions.confidence * BINS).astype(int), BINS - 1)
    weights = (None, correct, predictions.confidence)
    images, right, sure = (np.bincount(bins, weights=each, minlength=BINS) for each in weights)
    error, known = 100 * float(np.abs(right - sure).sum() / len(correct)), np.flatnonzero(images).tolist()
    bars = {
        place: SimpleNamespace(
            images=int(images[place]),
            confidence=100 * float(sure[place] / images[place]),
            accuracy=100 * float(right[place] / images[place]),
        )
        for place in known
    }
    confident, accurate = 100 * float(predictions.confidence.mean()), 100 * float(correct.mean())
    verdict = ""
    if abs(confident - accurate) > 1:
        verdict = f": {'surer' if confident > accurate else 'less sure'} than it is right"
    text = f"On average the network is {confident:.1f} % sure and {accurate:.1f} % right{verdict}."
    text += f" Expected calibration error (ECE): {error:.1f} %."
    return SimpleNamespace(text=text, error=error, bars=bars, most=int(images.max()), bins=BINS)
