"""Makes pools, which are read on request, from image files or their pack."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from oponm.data.decode import PLAIN, SKIP, Form, Size, UnusableFiles, read_image, sides
from oponm.data.memory import room_for
from oponm.data.progress import track
from oponm.data.sources.base import Files, Images, Part, Pool, Source, Stream
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.packed import packed_pool
from oponm.data.sources.prepare import Packing, scaled, squares
from oponm.data.sources.sample import sample_files
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_choice, check_int, check_path

log = logging.getLogger(__name__)
ON_ERROR = ("raise", "skip")
_EIGHT_BITS = 255


class PackOptions(NamedTuple):
    """The settings of a data set's pack.

    Attributes:
        folder: folder of the pack.
        root: folder of the data set.
        in_memory: whether images are kept in memory, and therefore packed as squares of their final size.
        short_side: largest short side in pixels for whole images; None keeps their own size.
    """

    folder: Path
    root: Path
    in_memory: bool
    short_side: int | None = None

    @classmethod
    def checked(
        cls, pack: str | Path | None, root: Path, in_memory: bool, pack_size: int | None = None
    ) -> PackOptions | None:
        """Check the options of a user; None without a pack.

        Raises:
            InputError: for an invalid ``pack_size``.

        Example:
            >>> PackOptions.checked(None, Path("photos"), in_memory=True)
        """
        short_side = None if pack_size is None else check_int("pack_size", pack_size, minimum=4)
        return None if pack is None else cls(check_path("pack", pack), root, in_memory, short_side)


class FileReader:
    """Decodes image files in threads; a file that cannot be read raises an error, or is left out and listed.

    Args:
        on_error: ``"raise"`` or ``"skip"``.
        decode: function from a path and a size in pixels to (C, H, W), uint8.
        pack: the pack to read images from; None decodes files.
        pixel_max: the value that is white in images of more than 8 bits; None takes it from a sample of the training
            images, see :func:`~oponm.data.sources.sample.sample_files`.
        form: how the shape and color of images change, for the default ``decode``.

    Attributes:
        skipped: files that were left out, with the reason; see :attr:`oponm.data.sources.base.Source.skipped`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "square.png")
        >>> Image.new("RGB", (8, 8)).save(file)
        >>> part = Part(np.array([file], dtype=object), np.array([0]))
        >>> source = FileReader().source(["square"], 4, train=part, test=part)
        >>> source.train.read(np.array([0])).images.shape
        torch.Size([1, 3, 4, 4])
    """

    def __init__(
        self,
        on_error: str = "raise",
        decode: Callable[[Path, Any], Tensor] = read_image,
        pack: PackOptions | None = None,
        pixel_max: float | None = None,
        form: Form = PLAIN,
    ) -> None:
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.decode, self.pack, self.pixel_max, self.form = decode, pack, pixel_max, form
        self.skipped: list[str] = []
        self._listed: list[InputError] = []
        self._bytes = 0  # size of the images read so far

    def source(
        self,
        class_names: list[str],
        size: Size | None,
        train: Part,
        test: Part | None,
        val: Part | None = None,
        val_origin: str = "",
    ) -> Source:
        """Make a data set of files, all read to one size.

        Args:
            class_names: names in label order.
            size: side in pixels, or (H, W); None takes the median short side of a sample, see
                :mod:`oponm.data.sources.sample`.
            train: images to draw the training set from.
            test: the test set; None for a set without one.
            val: the validation set, for data sets that define one.
            val_origin: origin of ``val``; see :attr:`oponm.data.sources.base.Source.val_origin`.

        Raises:
            InputError: if images are to be packed smaller than ``size``, or for values that cannot be reduced to 8
                bits.
        """
        facts: dict[str, str] = {}
        if self.decode is read_image:
            sample = sample_files(train.files, self.pixel_max)
            self.pixel_max = sample.pixel_max
            if sample.pixels:
                facts["pixels"] = sample.pixels
                log.warning("images %s", sample.pixels)
            if size is None:
                size = sample.default_size()
                facts["image size"] = f"{size}, the median short side" + ("" if size < 224 else ", 224 at most")
                log.info("image size %s", facts["image size"])
            if apart := sample.apart():
                log.warning("%s: all are brought to %s", apart, _brought_to(size, self.form.resize))
        if not size:
            raise InputError(f"{train.files[0]}: no file beside it can be read as an image either")
        given = {"training": train, "test": test, "validation": val}
        parts = {name: Part(FileNames.of(part.files), part.labels) for name, part in given.items() if part is not None}
        packing = self._packing(size, chain.from_iterable(part.files for part in parts.values()))
        pools = {
            name: packed_pool(packing, part, size, self.refuse, self.form) if packing else self._pool(part, size, name)
            for name, part in parts.items()
        }
        val_pool, test_pool = pools.get("validation"), pools.get("test")
        return Source(
            *(class_names, pools["training"], test_pool, val_pool, self.skipped, packing, val_origin, facts),
            pixel_max=self.pixel_max,
        )

    @property
    def _white(self) -> float:
        """White in images of more than 8 bits; a set whose sample has none may have no such image."""
        return _EIGHT_BITS if self.pixel_max is None else self.pixel_max

    def _packing(self, size: Size, files: Iterable[Path]) -> Packing | None:
        if self.pack is None:
            return None
        folder, root, in_memory, short_side = self.pack
        recipe = squares(size, self.decode, self._white, self.form.resize)
        if not in_memory and self.decode is read_image:
            short_side = None if short_side is None else check_int("pack_size", short_side, max(sides(size)))
            recipe = scaled(short_side, self._white)
        return Packing(folder, recipe, root, files, skip=self.on_error == "skip")

    def _pool(self, part: Part, size: Size, name: str) -> Pool:
        def read(wanted: npt.NDArray[np.int64]) -> Images:
            return self.read(part.files[wanted], size, f"reading {name} images")

        def stream(wanted: npt.NDArray[np.int64], training: bool, seed: int) -> Stream:
            targets = torch.from_numpy(part.labels[wanted])
            images = StreamedImages(part.files[wanted], targets, size, training, seed, self._white, self.form)
            return Stream(images, np.arange(len(wanted)))

        # A file that is left out changes the split and must be known before the first batch: "skip" allows no stream.
        streamed = self.decode is read_image and self.on_error == "raise"
        return Pool(part.labels, read, stream if streamed else None, FileNames.of(part.files))

    def read(self, files: Files, size: Size, title: str) -> Images:
        """Decode files to one size.

        Args:
            files: paths, (N,).
            size: side in pixels, or (H, W).
            title: title of the progress bar.

        Raises:
            InputError: naming all unreadable files, if ``on_error`` is ``"raise"``; or if the images do not fit
                in memory.
        """
        decode = self.decode
        if decode is read_image:
            decode = partial(read_image, pixel_max=self._white, form=self.form)

        def attempt(path: Path) -> Tensor | InputError:
            try:
                return decode(path, size)
            except InputError as error:
                return error

        pixels = room_for(len(files), size, self._bytes, self.form.channels)
        self._bytes += pixels.nbytes
        kept: list[int] = []
        refused: list[InputError] = []
        with ThreadPoolExecutor() as threads:
            for position, result in enumerate(track(threads.map(attempt, files), len(files), title)):
                if isinstance(result, InputError):
                    refused.append(result)
                else:
                    pixels[len(kept)] = result
                    kept.append(position)
        self.refuse(*refused)
        return Images(pixels[: len(kept)], np.array(kept, dtype=np.int64))

    def refuse(self, *errors: InputError) -> None:
        """Raise one error that names all files, or list them if ``on_error`` is ``"skip"``."""
        if errors and self.on_error == "raise":
            raise UnusableFiles(errors)
        self.skipped += [error.message.removesuffix(SKIP) for error in errors]

    def refuse_listed(self, error: InputError) -> None:
        """Store the error of a file for :meth:`finish_listing`."""
        self._listed.append(error)

    def finish_listing(self) -> None:
        """Raise one error for all files with stored errors, or list them."""
        errors, self._listed = self._listed, []
        self.refuse(*errors)


def _brought_to(size: Size, resize: str) -> str:
    height, width = sides(size)
    how = {"crop": "cut to the center", "stretch": "stretched", "pad": "padded"}[resize]
    return f"{height}x{width} pixels, {how} (data.resize={resize})"
