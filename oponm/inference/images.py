"""Finds image files in folders, and decodes them in threads ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from oponm.data.decode import Form, read_image
from oponm.data.sources.class_folders import list_images
from oponm.errors import InputError

_AHEAD = 2  # batches decoded while the network is busy


class ReadBatch(NamedTuple):
    """Images decoded together.

    Attributes:
        images: (N, C, H, W), uint8.
        kept: positions of the N images in the list of files.
        refused: reasons for the files that could not be read, by position.
    """

    images: Tensor
    kept: list[int]
    refused: dict[int, str]


def find_images(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """List image files, also in folders at any depth, in order of names.

    Args:
        paths: files with any name, and folders.

    Returns:
        The files, each once; and a line for each file in a folder that is no image by its extension. Hidden files are
        ignored.

    Raises:
        InputError: for a path that does not exist, or if there is no image at all.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> files, others = find_images([folder])
        >>> [file.name for file in files], len(others)
        (['a.PNG', 'b.jpg'], 1)
    """
    files: dict[Path, None] = {}
    others: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            images, rest = list_folder(path)
            files |= dict.fromkeys(images)
            others += rest
        elif path.is_file():
            files[path] = None
        else:
            raise InputError(f"{path}: no such file or folder")
    if not files:
        raise InputError(f"no image found in {', '.join(map(str, paths)) or 'nothing'}: name image files, or folders")
    return list(files), others


def true_classes(paths: Iterable[str | Path], class_names: Sequence[str]) -> dict[Path, str]:
    """The classes of images that lie in class folders.

    Args:
        paths: folders as :func:`find_images` takes them; an image below one of them is of the class that the first
            folder below is named for, or the folder itself.
        class_names: of the classifier.

    Returns:
        The class of each file that lies in such a folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cat").mkdir()
        >>> (folder / "cat" / "1.jpg").touch()
        >>> [*true_classes([folder], ["cat", "dog"]).values()], [*true_classes([folder / "cat"], ["cat"]).values()]
        (['cat'], ['cat'])
    """
    known: dict[Path, str] = {}
    for folder in (path for path in map(Path, paths) if path.is_dir()):
        for file in list_folder(folder)[0]:
            below = file.relative_to(folder).parts[:-1][:1]
            own = next((name for name in (*below, folder.resolve().name) if name in class_names), None)
            if own is not None:
                known[file] = own
    return known


def list_folder(folder: Path, root: Path | None = None) -> tuple[list[Path], list[str]]:
    """List the images in a folder, at any depth, in order of names; see :func:`find_images`.

    Args:
        folder: a folder; one that does not exist has no images.
        root: the folder that links may not leave; None is ``folder``.
    """
    images, others = list_images(folder, folder if root is None else root)
    return images, [f"{file}: is no image" for file in others]


def read_pixels(
    path: Path, shape: tuple[int, int, int], pixel_max: float | None = None, resize: str = "crop"
) -> Tensor:
    """Decode a file to the image shape of training; see :func:`~oponm.data.decode.read_image`.

    Args:
        path: the image file.
        shape: (C, H, W); with C = 1 colors become their luma (ITU-R 601).
        pixel_max: the value that was white in training images of more than 8 bits, if there were any.
        resize: how images of another shape were brought to (H, W), see :class:`~oponm.data.decode.Form`.

    Returns:
        ``shape``, uint8.

    Raises:
        InputError: naming the file, if it cannot be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp(), "wide.png")
        >>> Image.new("RGB", (20, 10), (200, 200, 200)).save(file)
        >>> read_pixels(file, (1, 2, 2)).tolist()
        [[[200, 200], [200, 200]]]
    """
    return read_image(path, shape[1:], pixel_max, Form(resize, shape[0]))


def read_batches(
    files: Sequence[Path],
    shape: tuple[int, int, int],
    batch_size: int,
    pixel_max: float | None = None,
    resize: str = "crop",
) -> Iterator[ReadBatch]:
    """Decode files in threads, in order, a few batches ahead of their use.

    Args:
        files: paths of the files.
        shape: shape of an image, see :func:`read_pixels`.
        batch_size: files per batch.
        pixel_max: white of images of more than 8 bits, see :func:`read_pixels`.
        resize: how their shape changes, see :func:`read_pixels`.

    Yields:
        Batches; a file that cannot be read is left out of its batch and listed there.
    """

    def attempt(path: Path) -> Tensor | InputError:
        try:
            return read_pixels(path, shape, pixel_max, resize)
        except InputError as error:
            return error

    waiting: deque[tuple[int, list[Future[Tensor | InputError]]]] = deque()
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(files), batch_size):
            waiting.append((start, [threads.submit(attempt, file) for file in files[start : start + batch_size]]))
            if len(waiting) > _AHEAD:
                yield _collect(*waiting.popleft(), shape)
        while waiting:
            yield _collect(*waiting.popleft(), shape)


def _collect(start: int, futures: list[Future[Tensor | InputError]], shape: tuple[int, int, int]) -> ReadBatch:
    images: list[Tensor] = []
    kept: list[int] = []
    refused: dict[int, str] = {}
    for position, future in enumerate(futures, start):
        if isinstance(result := future.result(), InputError):
            refused[position] = result.message.removesuffix(", or set data.on_error=skip")
        else:
            images.append(result)
            kept.append(position)
    stacked = torch.stack(images) if images else torch.empty(0, *shape, dtype=torch.uint8)
    return ReadBatch(stacked, kept, refused)
