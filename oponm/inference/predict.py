"""Predictions for image files, as a stream and as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from oponm.data.progress import track
from oponm.errors import check_int
from oponm.inference.classifier import Classifier
from oponm.inference.images import read_batches

_DIGITS = 6


class Prediction(NamedTuple):
    """What a network says of an image.

    Attributes:
        path: the file.
        label: of the most probable class.
        probabilities: of each class.
    """

    path: Path
    label: int
    probabilities: list[float]


class Predictions:
    """Classifies files while it is iterated over, a batch in memory at a time.

    Args:
        classifier: a trained network.
        files: images.
        batch_size: files a batch; results do not depend on it.
        device: where the network runs.

    Attributes:
        counts: how often each class was predicted so far.
        skipped: the files that could not be read so far, with the reason.

    Raises:
        InputError: if ``batch_size`` is no size.
    """

    def __init__(
        self, classifier: Classifier, files: Sequence[Path], batch_size: int = 64, device: torch.device | str = "cpu"
    ) -> None:
        self.classifier, self.files = classifier, list(files)
        self.batch_size, self.device = check_int("batch_size", batch_size, minimum=1), torch.device(device)
        self.counts, self.skipped = [0] * len(classifier.class_names), list[str]()

    def __iter__(self) -> Iterator[Prediction]:
        self.classifier.network.to(self.device)
        batches = read_batches(self.files, self.classifier.image_shape, self.batch_size)
        number = -(-len(self.files) // self.batch_size)
        for images, kept, refused in track(batches, number, "classifying images"):
            self.skipped += refused.values()
            if not kept:
                continue
            for position, row in zip(kept, self.classifier.probabilities(images.to(self.device)), strict=True):
                label = int(row.argmax())
                self.counts[label] += 1
                yield Prediction(self.files[position], label, [round(value, _DIGITS) for value in row.tolist()])


def write_csv(path: Path, predictions: Predictions) -> None:
    """Write ``path, prediction, probability`` and a column ``p_<class>`` for each class; a row an image.

    Args:
        path: is written as predictions come.
        predictions: iterated over once.
    """
    names = predictions.classifier.class_names
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prediction", "probability", *(f"p_{name}" for name in names)])
        for image, label, row in predictions:
            writer.writerow([image, names[label], row[label], *row])


def write_json(path: Path, predictions: Predictions) -> None:
    """Write ``class_names``, ``images`` (path, prediction, probability, probabilities by class) and ``skipped``.

    Args:
        path: is written as predictions come, a line an image.
        predictions: iterated over once.
    """
    names = predictions.classifier.class_names
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'{{"class_names": {_json(names)},\n"images": [')
        for number, (image, label, row) in enumerate(predictions):
            known = {"path": str(image), "prediction": names[label], "probability": row[label]}
            by_class = dict(zip(names, row, strict=True))
            file.write((",\n" if number else "\n") + _json({**known, "probabilities": by_class}))
        file.write(f'\n],\n"skipped": {_json(predictions.skipped)}}}\n')


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
