"""Reads images from a pack: into memory, or a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import Self

from oponm.data.decode import Form
from oponm.data.memory import room_for
from oponm.data.pipeline import RawBatch
from oponm.data.samplers import IndexBatch
from oponm.data.sources.base import Files, Images, Part, Pool
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.pack import Pack
from oponm.data.sources.prepare import Packing
from oponm.data.stream import StreamedImages
from oponm.errors import InputError
from oponm.rng import derived_randomness


class PackedImages(StreamedImages):
    """A set of images that are read from a pack batch by batch.

    It behaves like :class:`~oponm.data.stream.StreamedImages`, with the same crops from images of the same size, but
    decodes nothing. Images that were packed at the size of ``form`` are not cropped, not even for training.

    Args:
        pack: the pack.
        rows: row of each image in the pack, (N,), int64.
        files: paths, (N,).
        targets: labels, (N,), int64.
        form: the size and color that whole images are brought to.
        training: whether to crop at random.
        seed: the run's seed.
        cropped: True if the pack contains whole images, from which crops are taken; False if its images already have
            the size of ``form``.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from oponm.data.sources.prepare import scaled
        >>> root = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30)).save(root / "image.png")
        >>> files = np.array([root / "image.png"])
        >>> packing = Packing(root / "pack", scaled(20), root, files)
        >>> pack, rows = packing.make(), packing.rows(files)
        >>> data = PackedImages(pack, rows, files, torch.tensor([7]), Form(16), True, seed=0, cropped=True)
        >>> data.__getitems__(IndexBatch(torch.tensor([0]), epoch=0, step=0)).images.shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        pack: Pack,
        rows: npt.NDArray[np.int64],
        files: Files,
        targets: Tensor,
        form: Form,
        training: bool,
        seed: int,
        cropped: bool,
    ) -> None:
        super().__init__(files, targets, form._replace(pixel_max=None), training, seed)  # the recipe names white
        self.pack, self.rows, self.cropped = pack, rows, cropped

    def only(self, kept: npt.NDArray[np.int64]) -> Self:
        """Return the subset of the images with the given indices, see :meth:`~oponm.data.pipeline.ImageSet.only`."""
        other = super().only(kept)
        other.rows = self.rows[kept]
        return other

    def digest(self) -> str:
        """SHA-256 of the labels and the files' last two folders and names, in order, and of the recipe of the pack."""
        return hashlib.sha256(f"{super().digest()} {self.pack.recipe}".encode()).hexdigest()

    def hash_contents(self) -> str:
        """SHA-256 of the labels and of the packed pixels, in order."""
        digest = hashlib.sha256(self.targets.numpy().astype("<i8").tobytes())
        for row in self.rows:
            image = self.pack.image(row)
            digest.update(str(image.shape).encode() + image.tobytes())
        return digest.hexdigest()

    def lengths_digest(self) -> str:
        """Empty, as a pack is checked against its images when it is opened."""
        return ""

    def fingerprint(self) -> str:
        """SHA-256 of the pack's index, which has a checksum of each image's pixels."""
        return self.pack.fingerprint

    def __getitems__(self, batch: IndexBatch) -> RawBatch:
        images = [Image.fromarray(self.pack.image(row)) for row in self.rows[batch.indices.numpy()]]
        if self.training and self.cropped:
            with derived_randomness(self.seed, "crop", batch.epoch, batch.step, batch.rank):
                pixels = [self.random_crop(image) for image in images]
        else:
            if self.cropped:
                images = [self.form.fit(image) for image in images]
            pixels = [self.form.pixels(image) for image in images]
        return RawBatch(torch.stack(pixels).contiguous(), self.targets[batch.indices], batch.epoch, batch.step)


def packed_pool(packing: Packing, part: Part, form: Form, refuse: Callable[..., None]) -> Pool:
    """Make a pool that reads from a pack, which is opened at the first read.

    Args:
        packing: the pack.
        part: files and labels of the pool.
        form: the size and color that images are brought to.
        refuse: called once, with one error for each requested file that could not be decoded; if it does not raise,
            these files are left out.
    """

    def readable(wanted: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return rows in the pack, and positions in the request, of the wanted files that could be decoded."""
        rows, kept, refused = packing.rows(part.files[wanted]), [], []
        for position, (row, file) in enumerate(zip(rows, part.files[wanted], strict=True)):
            if error := packing.pack.entries[row].error:
                refused.append(InputError(f"{file}: {error}"))
            else:
                kept.append(position)
        refuse(*refused)
        return rows[kept], np.array(kept, dtype=np.int64)

    def read(wanted: npt.NDArray[np.int64]) -> Images:
        rows, kept = readable(wanted)
        packing.verify(rows)
        pixels = room_for(len(rows), form.image_shape)
        for position, row in enumerate(rows):
            pixels[position] = form.pixels(Image.fromarray(packing.pack.image(row)))
        return Images(pixels, kept)

    def stream(wanted: npt.NDArray[np.int64], training: bool, seed: int) -> Images:
        rows, kept = readable(wanted)
        files, targets = part.files[wanted[kept]], torch.from_numpy(part.labels[wanted[kept]])
        images = PackedImages(packing.pack, rows, files, targets, form, training, seed, packing.recipe.cropped)
        return Images(images, kept)

    return Pool(part.labels, read, stream, FileNames.of(part.files))
