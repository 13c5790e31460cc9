"""Evaluates on a folder of images, with the preprocessing that the checkpoint describes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from oponm.data.pipeline import RawBatch
from oponm.data.sources.class_folders import subfolders
from oponm.data.sources.reading import ON_ERROR
from oponm.data.stream import contents_digest
from oponm.errors import InputError, check_choice, check_int, first_of
from oponm.inference.classifier import Classifier
from oponm.inference.images import list_folder, read_batches
from oponm.noise import Batch

log = logging.getLogger(__name__)


class EvaluationFolder(pl.LightningDataModule):
    """Class folders of images as the test set of :func:`oponm.training.evaluate`; no training data is needed.

    Images are read at the size of training and normalized by the statistics of training. A class of the classifier
    may have no folder; means over classes leave it out.

    Args:
        folder: contains a folder of images for each class, named as the class; other folders are refused.
        classifier: provides classes, image shape and statistics.
        batch_size: images per batch.
        on_error: ``"raise"`` names a file that cannot be read and stops; ``"skip"`` leaves it out and lists it.
        seed: seed of the noise images that :func:`oponm.training.evaluate` shows the network.

    Attributes:
        class_names: the classifier's classes.
        class_counts: counts of its training set, for groups of many- and few-shot classes.
        test_counts: images of each class; reduced by one whenever a file turns out to be unreadable.
        digest: SHA-256 of the training indices.
        content_digest: SHA-256 of the training labels and images, see :class:`~oponm.inference.Classifier`.
        statistics: statistics of the training images.
        image_shape: (C, H, W) of the images.
        pixel_max: the value that is white in images of more than 8 bits; None takes it from each image's own values.
        resize: how images of another shape are brought to (H, W): ``"crop"``, ``"stretch"`` or ``"pad"``.
        skipped: a line for each file that was left out: its path and the reason.

    Raises:
        InputError: for folders of unknown classes, which it names; if there is no image; and for files that are no
            images, with ``on_error="raise"``.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> half = Statistics((0.5,), (0.5,))
        >>> cats = Classifier(SmallCNN(2, 1).eval(), ["cat", "dog"], [9, 3], half, (1, 8, 8), {}, "", "")
        >>> photos = Path(tempfile.mkdtemp())
        >>> (photos / "dog").mkdir()
        >>> Image.new("RGB", (20, 30)).save(photos / "dog/rex.jpg")
        >>> EvaluationFolder(photos, cats).test_counts
        [0, 1]
    """

    def __init__(
        self,
        folder: str | Path,
        classifier: Classifier,
        batch_size: int = 128,
        on_error: str = "raise",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.seed = Path(folder).expanduser(), seed
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.class_names, self.class_counts = classifier.class_names, classifier.class_counts
        self.digest, self.content_digest = classifier.split_digest, classifier.content_digest
        self.statistics, self.image_shape = classifier.statistics, classifier.image_shape
        self.pixel_max, self.resize = classifier.pixel_max, classifier.resize
        self.pipeline, self.form = classifier.pipeline(), classifier.form
        self.val_digest = self.lengths_digest = ""
        self.cross_validation: dict[str, Any] | None = None
        self.skipped: list[str] = []
        self.files: list[Path] = []
        self.labels: list[int] = []
        self._read: list[Path] = []
        self._list_files()
        self.test_counts = [self.labels.count(label) for label in range(len(self.class_names))]

    def _list_files(self) -> None:
        if not self.folder.is_dir():
            raise InputError(f"is not a folder: {self.folder}", "folder")
        found = {path.name for path in subfolders(self.folder)}
        if unknown := sorted(found - set(self.class_names)):
            raise InputError(
                f"{self.folder} has folders of classes that the checkpoint does not know: {first_of(unknown, 5)}; it "
                f"knows {first_of(self.class_names, 5)}",
                "folder",
            )
        for label, name in enumerate(self.class_names):
            files, others = list_folder(self.folder / name, self.folder)
            self._refuse(others)
            self.files += files
            self.labels += [label] * len(files)
        if not self.files:
            raise InputError(f"{self.folder} holds no image in a folder named as a class", "folder")
        if missing := [name for label, name in enumerate(self.class_names) if label not in self.labels]:
            log.warning("%s has no image of %s: means over classes leave them out", self.folder, first_of(missing, 5))

    @property
    def test_digest(self) -> str:
        """SHA-256 of the labels and of the files' content."""
        return contents_digest(torch.tensor(self.labels), self.files)

    def _refuse(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self.on_error == "raise":
                raise InputError(f"{line}; remove it, or set data.on_error=skip")
            self.skipped.append(line)

    def test_names(self) -> tuple[str, list[str]]:
        """Paths relative to the folder, of the images that were read."""
        return "path", [str(file.relative_to(self.folder)) for file in self._read]

    def test_dataloader(self) -> _Reader:
        """The images, class by class."""
        return _Reader(self)

    def read(self) -> Iterator[RawBatch]:
        """Stored pixels, a batch at a time, and no batch without an image."""
        labels, self._read = torch.tensor(self.labels), []
        read = read_batches(self.files, self.form, self.batch_size)
        for step, batch in enumerate(read):
            self._refuse(batch.refused.values())
            for position in batch.refused:
                self.test_counts[self.labels[position]] -= 1
            self._read += [self.files[position] for position in batch.kept]
            if batch.kept:
                yield RawBatch(batch.images, labels[batch.kept], epoch=0, step=step)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Scale and normalize."""
        return self.pipeline.to(batch.images.device)(batch, training=False)


class _Reader:
    """The loader that Lightning iterates over."""

    def __init__(self, data: EvaluationFolder) -> None:
        self.data = data

    def __iter__(self) -> Iterator[RawBatch]:
        return self.data.read()
