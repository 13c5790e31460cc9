"""Makes pools, which are read on request, from image files or their pack."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from oponm.data.decode import SKIP, Form, UnusableFiles, decode_ahead, read_image
from oponm.data.memory import room_for
from oponm.data.progress import track
from oponm.data.sources.base import Files, Images, Part, Pool, Source
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.packed import packed_pool
from oponm.data.sources.prepare import Packing, scaled, squares
from oponm.data.sources.sample import sample_files
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_int, check_path

log = logging.getLogger(__name__)
ON_ERROR = ("raise", "skip")
_EIGHT_BITS = 255


def check_pack(pack: str | Path | None, pack_size: int | None) -> tuple[Path | None, int | None]:
    """Check the keys of a data set's pack, and return the folder and the size.

    Args:
        pack: folder of the pack; None for no pack.
        pack_size: maximum short side in pixels of whole images; None keeps their own size.

    Raises:
        InputError: for an empty path, or a size that is not a whole number of at least 4.

    Example:
        >>> check_pack(None, 256)
        (None, 256)
    """
    size = None if pack_size is None else check_int("pack_size", pack_size, minimum=4)
    return None if pack is None else check_path("pack", pack), size


class FileReader:
    """Decodes image files in threads; a file that cannot be read raises an error, or is left out and listed.

    Args:
        data: a data module, of which these attributes are used: ``root``; ``on_error`` (``"raise"`` or ``"skip"``);
            ``pack``, the folder to read images from, or None to decode files; ``in_memory``; and ``pack_size``. A pack
            has images of their final size if ``in_memory`` is True, else whole ones with a short side of at most
            ``pack_size`` pixels.
        form: the size and color that images are brought to. If its ``size`` is None, that is the median short side of a
            sample of the training images. If its ``pixel_max`` is None, that is guessed from the sample, see
            :mod:`oponm.data.sources.sample`.
        decode: function from a path and a form to pixels, (C, H, W), uint8.

    Attributes:
        skipped: files that were left out, each with the reason, in one line of text.

    Example:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "square.png")
        >>> Image.new("RGB", (8, 8)).save(file)
        >>> part = Part(np.array([file], dtype=object), np.array([0]))
        >>> data = SimpleNamespace(root=file.parent, on_error="raise", in_memory=True, pack=None)
        >>> source = FileReader(data, Form(4)).source(["square"], train=part, test=part)
        >>> source.train.read(np.array([0])).images.shape
        torch.Size([1, 3, 4, 4])
    """

    def __init__(self, data: Any, form: Form, decode: Callable[[Path, Form], Tensor] = read_image) -> None:
        self.data, self.form, self.decode = data, form, decode
        self.skipped: list[str] = []
        self._bytes = 0  # size of the images read so far

    def source(
        self,
        class_names: list[str],
        train: Part,
        test: Part | None,
        val: Part | None = None,
        val_origin: str = "",
    ) -> Source:
        """Make a data set of files, all read to one size.

        Args:
            class_names: names in label order.
            train: images to draw the training set from.
            test: the test set; None for a set without one.
            val: the validation set, for data sets that define one.
            val_origin: description of where ``val`` comes from, for ``result.json``, such as ``"published list"``.

        Raises:
            InputError: if ``pack_size`` is smaller than the size of the form, if no image can be opened, or for values
                that cannot be reduced to 8 bits.
        """
        facts: dict[str, str] = {}
        form = self.form
        if self.decode is read_image:
            sample = sample_files(train.files, form.pixel_max)
            form = form._replace(pixel_max=sample.pixel_max)
            if sample.pixels:
                facts["pixels"] = sample.pixels
                log.warning("images %s", sample.pixels)
            if form.size is None:
                form = form._replace(size=(side := sample.default_size()))
                facts["image size"] = f"{side}, the median short side" + ("" if side < 224 else ", 224 at most")
                log.info("image size %s", facts["image size"])
            if apart := sample.apart():
                log.warning("%s: all are brought to %s", apart, _brought_to(form))
        if not form.size:
            fault = "is no image, nor is any other training file that was opened; replace them"
            raise InputError(f"{train.files[0]}: {fault}")
        pixel_max = form.pixel_max
        if pixel_max is None:  # a set whose sample has no image of more than 8 bits may have none
            form = form._replace(pixel_max=_EIGHT_BITS)
        given = {"training": train, "test": test, "validation": val}
        parts = {name: Part(FileNames.of(part.files), part.labels) for name, part in given.items() if part is not None}
        packing = self._packing(form, chain.from_iterable(part.files for part in parts.values()))
        pools = {
            name: packed_pool(packing, part, form, self.refuse) if packing else self._pool(part, form, name)
            for name, part in parts.items()
        }
        val_pool, test_pool = pools.get("validation"), pools.get("test")
        return Source(
            *(class_names, pools["training"], test_pool, val_pool, self.skipped, packing, val_origin, facts),
            pixel_max=pixel_max,
        )

    def _packing(self, form: Form, files: Iterable[Path]) -> Packing | None:
        data, recipe = self.data, squares(form, self.decode)
        if data.pack is None:
            return None
        if not data.in_memory and self.decode is read_image:
            if data.pack_size is not None:
                check_int("pack_size", data.pack_size, max(form.image_shape[1:]))
            recipe = scaled(data.pack_size, form.pixel_max)
        return Packing(data.pack, recipe, data.root, files, skip=data.on_error == "skip")

    def _pool(self, part: Part, form: Form, name: str) -> Pool:
        def read(wanted: npt.NDArray[np.int64]) -> Images:
            return self.read(part.files[wanted], form, f"reading {name} images")

        def stream(wanted: npt.NDArray[np.int64], training: bool, seed: int) -> Images:
            targets = torch.from_numpy(part.labels[wanted])
            return Images(StreamedImages(part.files[wanted], targets, form, training, seed), np.arange(len(wanted)))

        # A file that is left out changes the split and must be known before the first batch: "skip" allows no stream.
        streamed = self.decode is read_image and self.data.on_error == "raise"
        return Pool(part.labels, read, stream if streamed else None, FileNames.of(part.files))

    def read(self, files: Files, form: Form, title: str) -> Images:
        """Decode files, all to the size and color of a form.

        Args:
            files: paths, (N,).
            form: the size and color that images are brought to.
            title: title of the progress bar.

        Raises:
            InputError: naming all unreadable files, if ``on_error`` is ``"raise"``; or if the images do not fit
                in memory.
        """
        pixels = room_for(len(files), form.image_shape, self._bytes)
        self._bytes += pixels.nbytes
        kept: list[int] = []
        refused: list[InputError] = []
        decoded = decode_ahead(files, lambda path: self.decode(path, form))
        for position, result in enumerate(track(decoded, len(files), title)):
            if isinstance(result, InputError):
                refused.append(result)
            else:
                pixels[len(kept)] = result
                kept.append(position)
        self.refuse(*refused)
        return Images(pixels[: len(kept)], np.array(kept, dtype=np.int64))

    def refuse(self, *errors: InputError) -> None:
        """Raise one error that names all unreadable files, or add them to ``skipped`` if ``on_error`` is ``"skip"``.

        Args:
            *errors: one error for each unreadable file.
        """
        if errors and self.data.on_error == "raise":
            raise UnusableFiles(errors)
        self.skipped += [error.message.removesuffix(SKIP) for error in errors]


def _brought_to(form: Form) -> str:
    _, height, width = form.image_shape
    how = {"crop": "cut to the center", "stretch": "stretched", "pad": "padded"}[form.resize]
    return f"{height}x{width} pixels, {how} (data.resize={form.resize})"
