"""Sets too large for memory: images are decoded batch by batch, in worker processes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import Self

from oponm.data.decode import SKIP, Form, open_rgb, read_image
from oponm.data.pipeline import ImageSet, RawBatch
from oponm.data.samplers import IndexBatch
from oponm.data.sources.base import Files
from oponm.data.sources.file_names import FileNames, Stat
from oponm.errors import InputError
from oponm.rng import derived_randomness


class StreamedImages(ImageSet):
    """A set of image files that are decoded batch by batch.

    For training, the process that decodes an image takes a random resized crop (8 % to 100 % of its area), and sends
    only the crop. Crops depend on seed, epoch, step and rank, but not on the number of decoding processes. For
    evaluation, the whole image is brought to the size of ``form``.

    Args:
        files: paths, (N,).
        targets: labels, (N,), int64.
        form: the size and color that images are brought to. For training, ``resize="stretch"`` and ``"pad"`` change the
            aspect ratio before the crop.
        training: whether to crop at random.
        seed: the run's seed.

    References:
        Szegedy et al., "Going Deeper with Convolutions", CVPR 2015 (the crop).

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "image.png")
        >>> Image.new("RGB", (40, 30)).save(file)
        >>> data = StreamedImages(np.array([file]), torch.tensor([7]), Form(16), training=True, seed=0)
        >>> data.__getitems__(IndexBatch(torch.tensor([0]), epoch=0, step=0)).images.shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(self, files: Files, targets: Tensor, form: Form, training: bool, seed: int = 0) -> None:
        from torchvision.transforms.v2 import RandomResizedCrop

        self.files = FileNames.of(files)  # so that decoding processes need no copy
        self.targets, self.form, self.training, self.seed = targets, form, training, seed
        _, height, width = form.image_shape
        self.crop = RandomResizedCrop((height, width), ratio=(3 / 4 * (width / height), 4 / 3 * (width / height)))
        self._lengths: str | None = None

    def only(self, kept: npt.NDArray[np.int64]) -> Self:
        """Return the subset of the images with the given indices, see :meth:`~oponm.data.pipeline.ImageSet.only`."""
        other = copy.copy(self)
        other.files, other.targets = self.files[kept], self.targets[kept]
        other._contents = other._lengths = None
        return other

    def digest(self) -> str:
        """SHA-256 of each image's label, file name and last two folders, in order, and of the form unless it is usual.

        The form's ``pixel_max`` counts unless it is None or 255, ``resize`` and ``channels`` unless ``"crop"`` and 3.
        """
        digest = hashlib.sha256()
        if self.form.pixel_max not in (None, 255):
            digest.update(f"white {self.form.pixel_max:g}\n".encode())
        if (self.form.resize, self.form.channels) != ("crop", 3):
            digest.update(f"{self.form.resize}, {self.form.channels} channels\n".encode())
        for label, file in zip(self.targets.tolist(), self.files.strings(), strict=True):
            name = "/".join(file.rsplit("/", 3)[-3:])
            digest.update(f"{label}\t{name}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """SHA-256 of each file's length and modification time, in order: it changes if pixels do.

        It shows on one machine whether files have changed; :meth:`digest` is the same on all machines.
        """
        digest = hashlib.sha256()
        for stat in self.stats():
            digest.update(b"\n" if stat is None else f"{stat.length} {stat.mtime_ns}\n".encode())
        return digest.hexdigest()

    def lengths_digest(self) -> str:
        """SHA-256 of each file's length in bytes, in order, read once; it is the same on all machines."""
        if self._lengths is None:
            lengths = "\n".join("" if stat is None else str(stat.length) for stat in self.stats())
            self._lengths = hashlib.sha256(lengths.encode()).hexdigest()
        return self._lengths

    def stats(self) -> Iterator[Stat | None]:
        """Yield the length and modification time of each file, in order; None for a missing file."""
        parts = (self.files[i : i + 1000] for i in range(0, len(self), 1000))
        with ThreadPoolExecutor() as threads:  # waiting for the system takes the time, most of all over a network
            for part in threads.map(lambda files: list(files.stats()), parts):
                yield from part

    def hash_contents(self) -> str:
        """SHA-256 of the labels and of the files' content, in order."""
        return contents_digest(self.targets, self.files)

    def __getitems__(self, batch: IndexBatch) -> RawBatch:
        files = [self.files[index] for index in batch.indices.tolist()]
        try:
            if self.training:
                with derived_randomness(self.seed, "crop", batch.epoch, batch.step, batch.rank):
                    images = [self.random_crop(open_rgb(file, self.form.pixel_max)) for file in files]
            else:
                images = [read_image(file, self.form) for file in files]
        except InputError as error:
            remedy = ", or pack the images: oponm data prepare with data.pack=FOLDER data.on_error=skip"
            raise InputError(f"{error.message.removesuffix(SKIP)}{remedy}", error.key) from error
        return RawBatch(torch.stack(images), self.targets[batch.indices], batch.epoch, batch.step)

    def random_crop(self, image: Image.Image) -> Tensor:
        """Take a random crop of a whole image, by torch's global generator.

        Args:
            image: in RGB.

        Returns:
            (C, H, W), uint8.
        """
        return self.form.pixels(self.crop(self.form.shape(image)))


def contents_digest(labels: Tensor, files: Iterable[Path]) -> str:
    """SHA-256 of labels, as little-endian int64, and of the SHA-256 of each file, in order.

    Args:
        labels: labels, (N,), int64.
        files: paths, (N,); unreadable ones are left out, as decoding reports them.
    """
    digest = hashlib.sha256(labels.cpu().numpy().astype("<i8").tobytes())
    with ThreadPoolExecutor() as threads:
        for part in threads.map(_content, files):
            digest.update(part)
    return digest.hexdigest()


def hash_file(file: Path) -> bytes:
    """SHA-256 of a file's content.

    Raises:
        OSError: if it cannot be read.
    """
    return hashlib.sha256(file.read_bytes()).digest()


def _content(file: Path) -> bytes:
    try:
        return hash_file(file)
    except OSError:
        return b""
