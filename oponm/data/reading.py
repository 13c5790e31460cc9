"""Image files, or the pack of them, to pools that are read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from oponm.data.decode import read_image
from oponm.data.file_names import FileNames
from oponm.data.packed import packed_pool
from oponm.data.prepare import Packing, scaled, squares
from oponm.data.progress import track
from oponm.data.source import Files, Images, Part, Pool, Source, Stream
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_choice, check_int

ON_ERROR = ("raise", "skip")


class PackOptions(NamedTuple):
    """What a data set says of its pack.

    Attributes:
        folder: of the pack.
        root: folder of the data set.
        in_memory: whether images are kept in memory, hence packed as squares of their final size.
        short_side: at most so many pixels, where whole images are packed; None for their own size.
    """

    folder: Path
    root: Path
    in_memory: bool
    short_side: int | None = None

    @classmethod
    def checked(
        cls, pack: str | Path | None, root: Path, in_memory: bool, pack_size: int | None = None
    ) -> PackOptions | None:
        """The options as a user gives them; None without a pack.

        Raises:
            InputError: if ``pack_size`` is no size.

        Example:
            >>> PackOptions.checked(None, Path("photos"), in_memory=True)
        """
        short_side = None if pack_size is None else check_int("pack_size", pack_size, minimum=4)
        return None if pack is None else cls(Path(pack).expanduser(), root, in_memory, short_side)


class FileReader:
    """Decodes image files in threads; one that cannot be read is named and stops it, or is left out and listed.

    Args:
        on_error: ``"raise"`` or ``"skip"``.
        decode: turns a path and a side in pixels into (3, side, side), uint8.
        pack: to read images from a pack; None to decode files.

    Attributes:
        skipped: what was left out, with the reason; see :attr:`oponm.data.source.Source.skipped`.

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
        decode: Callable[[Path, int], Tensor] = read_image,
        pack: PackOptions | None = None,
    ) -> None:
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.decode, self.pack = decode, pack
        self.skipped: list[str] = []

    def source(
        self,
        class_names: list[str],
        size: int,
        train: Part,
        test: Part,
        val: Part | None = None,
        val_origin: str = "",
    ) -> Source:
        """A data set of files, all to be read to one size.

        Args:
            class_names: names in label order.
            size: side in pixels.
            train: images to draw the training set from.
            test: the test set.
            val: the validation set, for data sets that define one.
            val_origin: where it is from; see :attr:`oponm.data.source.Source.val_origin`.

        Raises:
            InputError: if images are to be packed smaller than ``size``.
        """
        given = {"training": train, "test": test, "validation": val}
        parts = {name: Part(FileNames.of(part.files), part.labels) for name, part in given.items() if part is not None}
        packing = self._packing(size, chain.from_iterable(part.files for part in parts.values()))
        pools = {
            name: packed_pool(packing, part, size, self.refuse) if packing else self._pool(part, size, name)
            for name, part in parts.items()
        }
        val_pool = pools.get("validation")
        return Source(class_names, pools["training"], pools["test"], val_pool, self.skipped, packing, val_origin)

    def _packing(self, size: int, files: Iterable[Path]) -> Packing | None:
        if self.pack is None:
            return None
        folder, root, in_memory, short_side = self.pack
        recipe = squares(size, self.decode)
        if not in_memory and self.decode is read_image:
            recipe = scaled(None if short_side is None else check_int("pack_size", short_side, minimum=size))
        return Packing(folder, recipe, root, files, skip=self.on_error == "skip")

    def _pool(self, part: Part, size: int, name: str) -> Pool:
        def read(wanted: npt.NDArray[np.int64]) -> Images:
            return self.read(part.files[wanted], size, f"reading {name} images")

        def stream(wanted: npt.NDArray[np.int64], training: bool, seed: int) -> Stream:
            targets = torch.from_numpy(part.labels[wanted])
            return Stream(StreamedImages(part.files[wanted], targets, size, training, seed), np.arange(len(wanted)))

        # A file left out changes the split, so it must be known before the first batch: no stream for "skip".
        streamed = self.decode is read_image and self.on_error == "raise"
        return Pool(part.labels, read, stream if streamed else None)

    def read(self, files: Files, size: int, title: str) -> Images:
        """Decode files to one size.

        Args:
            files: paths, (N,).
            size: side in pixels.
            title: names the progress bar.

        Raises:
            InputError: naming the file, for one that cannot be read, if ``on_error`` is ``"raise"``.
        """

        def attempt(path: Path) -> Tensor | InputError:
            try:
                return self.decode(path, size)
            except InputError as error:
                return error

        pixels = torch.empty((len(files), 3, size, size), dtype=torch.uint8)
        kept: list[int] = []
        with ThreadPoolExecutor() as threads:
            for position, result in enumerate(track(threads.map(attempt, files), len(files), title)):
                if isinstance(result, InputError):
                    if self.on_error == "raise":
                        threads.shutdown(cancel_futures=True)
                    self.refuse(result)
                else:
                    pixels[len(kept)] = result
                    kept.append(position)
        return Images(pixels[: len(kept)], np.array(kept, dtype=np.int64))

    def refuse(self, error: InputError) -> None:
        """Raise the error, or list it."""
        if self.on_error == "raise":
            raise error
        self.skipped.append(error.message.removesuffix(", or set data.on_error=skip"))
