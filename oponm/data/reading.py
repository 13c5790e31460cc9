"""Image files to pools that are decoded when asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from oponm.data.decode import read_image
from oponm.data.progress import track
from oponm.data.source import Images, Pool
from oponm.errors import InputError, check_choice

ON_ERROR = ("raise", "skip")


class FileReader:
    """Decodes image files in threads; one that cannot be read is named and stops it, or is left out and listed.

    Args:
        on_error: ``"raise"`` or ``"skip"``.
        decode: turns a path and a side in pixels into (3, side, side), uint8.

    Attributes:
        skipped: what was left out, with the reason; see :attr:`oponm.data.source.Source.skipped`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "square.png")
        >>> Image.new("RGB", (8, 8)).save(file)
        >>> reader = FileReader()
        >>> pool = reader.pool(np.array([file], dtype=object), np.array([0]), 4, "reading images")
        >>> pool.read(np.array([0])).images.shape
        torch.Size([1, 3, 4, 4])
    """

    def __init__(self, on_error: str = "raise", decode: Callable[[Path, int], Tensor] = read_image) -> None:
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.decode = decode
        self.skipped: list[str] = []

    def pool(self, files: npt.NDArray[np.object_], labels: npt.NDArray[np.int64], size: int, title: str) -> Pool:
        """A pool of files; ``title`` names the progress bar of their decoding."""
        # A file left out changes the split, so it must be known before the first batch: no stream for "skip".
        streamed = self.decode is read_image and self.on_error == "raise"
        pool = Pool(labels, lambda wanted: self.read(files[wanted], size, title))
        return pool._replace(files=files, size=size) if streamed else pool

    def read(self, files: npt.NDArray[np.object_], size: int, title: str) -> Images:
        """Decode files to one size.

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
