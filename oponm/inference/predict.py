"""Predicts the classes of image files, as a stream and as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from oponm.data.progress import track
from oponm.errors import InputError, check_int
from oponm.inference.classifier import Classifier
from oponm.inference.images import read_batches
from oponm.inference.prior import Threshold

_DIGITS = 6


class Prediction(NamedTuple):
    """A network's prediction for an image.

    Attributes:
        path: the file; None where pixels were given.
        label: label of the most probable class, or of the one that a threshold decides for.
        probabilities: probability of each class.
    """

    path: Path | None
    label: int
    probabilities: list[float]


class Predictions:
    """Classifies files while it is iterated over, one batch in memory at a time.

    Args:
        classifier: a trained network.
        files: images.
        batch_size: files per batch; results do not depend on it.
        device: where the network runs.
        truth: a dict from path to the name of the true class, for files whose class is known, such as from
            :func:`~oponm.inference.images.true_classes`; None if no class is known.
        threshold: decision threshold for one of two classes; None predicts the most probable class.

    Attributes:
        told: number of classified files so far whose true class is known.
        right: number of these that were predicted correctly.
        counts: how often each class was predicted so far, by label.
        skipped: a line for each file that could not be read so far: its path and the reason.

    Raises:
        InputError: for a ``batch_size`` below 1.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> half = Statistics((0.5,), (0.5,))
        >>> cats = Classifier(SmallCNN(2, 1).eval(), ["cat", "dog"], [9, 3], half, (1, 8, 8), {}, "", "")
        >>> photo, broken = (Path(tempfile.mkdtemp(), name) for name in ("rex.jpg", "broken.jpg"))
        >>> Image.new("RGB", (20, 30)).save(photo)
        >>> _ = broken.write_text("no image")
        >>> predictions = Predictions(cats, [photo, broken])
        >>> [image.path.name for image in predictions], len(predictions.skipped)
        (['rex.jpg'], 1)
    """

    def __init__(
        self,
        classifier: Classifier,
        files: Sequence[Path],
        batch_size: int = 64,
        device: torch.device | str = "cpu",
        truth: Mapping[Path, str] | None = None,
        threshold: Threshold | None = None,
    ) -> None:
        self.classifier, self.files, self.truth = classifier, list(files), dict(truth or {})
        self.threshold = threshold
        self.told = self.right = 0
        self.batch_size, self.device = check_int("batch_size", batch_size, minimum=1), torch.device(device)
        self.counts, self.skipped = [0] * len(classifier.class_names), list[str]()

    def __iter__(self) -> Iterator[Prediction]:
        self.classifier.network.to(self.device)
        batches = read_batches(self.files, self.classifier.form, self.batch_size)
        number = -(-len(self.files) // self.batch_size)
        for images, kept, refused in track(batches, number, "classifying images"):
            self.skipped += refused.values()
            if not kept:
                continue
            for position, row in zip(kept, self.classifier.probabilities(images.to(self.device)), strict=True):
                label = int(self.threshold.decide(row[None]) if self.threshold else row.argmax())
                self.counts[label] += 1
                if true := self.truth.get(self.files[position]):
                    self.told += 1
                    self.right += true == self.classifier.class_names[label]
                yield Prediction(self.files[position], label, [round(value, _DIGITS) for value in row.tolist()])


def predict_images(classifier: Classifier, images: Tensor, batch_size: int = 64) -> list[Prediction]:
    """Classify images in memory.

    Args:
        classifier: a trained network, on the CPU.
        images: (N, C, H, W), uint8, of the classifier's ``image_shape``.
        batch_size: images classified together.

    Returns:
        One prediction per image, in order.

    Raises:
        InputError: for images of another shape or kind.

    Example:
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> half = Statistics((0.5,), (0.5,))
        >>> cats = Classifier(SmallCNN(2, 1).eval(), ["cat", "dog"], [9, 3], half, (1, 8, 8), {}, "", "")
        >>> len(predict_images(cats, torch.zeros(3, 1, 8, 8, dtype=torch.uint8))[0].probabilities)
        2
    """
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != classifier.image_shape:
        wanted = ", ".join(map(str, classifier.image_shape))
        raise InputError(f"must be uint8, (N, {wanted}), got {images.dtype}, {tuple(images.shape)}", "images")
    rows = [row for part in images.cpu().split(batch_size) for row in classifier.probabilities(part)]
    return [Prediction(None, int(row.argmax()), [round(value, _DIGITS) for value in row.tolist()]) for row in rows]


def write_csv(path: Path, predictions: Predictions) -> None:
    """Write ``path, prediction, probability`` and a column ``p_<class>`` for each class; a row per image.

    Where true classes are known, the column ``class`` after ``path`` has them.

    Args:
        path: the file, written as predictions are made.
        predictions: the predictions, iterated over once.
    """
    names = predictions.classifier.class_names
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        known = ["class"] if predictions.truth else []
        writer.writerow(["path", *known, "prediction", "probability", *(f"p_{name}" for name in names)])
        for image, label, row in predictions:
            true = [predictions.truth.get(image, "") for _ in known if image]
            writer.writerow([image, *true, names[label], row[label], *row])


def write_json(path: Path, predictions: Predictions) -> None:
    """Write ``class_names``, ``images`` (path, prediction, probability, class if known, probabilities), ``skipped``.

    Args:
        path: the file, written as predictions are made, a line per image.
        predictions: the predictions, iterated over once.
    """
    names = predictions.classifier.class_names
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f'{{"class_names": {_json(names)},\n"images": [')
        for number, (image, label, row) in enumerate(predictions):
            known = {"path": str(image), "prediction": names[label], "probability": row[label]}
            if image and (true := predictions.truth.get(image)):
                known["class"] = true
            by_class = dict(zip(names, row, strict=True))
            file.write((",\n" if number else "\n") + _json({**known, "probabilities": by_class}))
        file.write(f'\n],\n"skipped": {_json(predictions.skipped)}}}\n')


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
