"""Finds image files in folders, and decodes them in threads ahead of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from oponm.data.decode import SKIP, Form, decode_ahead, read_image
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
    """Return the classes of images by the names of the folders that they lie in.

    Args:
        paths: files and folders; files are ignored. The class of an image is the name of the first subfolder on its
            path below the given folder. If that is no class, it is the name of the given folder.
        class_names: names of the classifier's classes.

    Returns:
        A dict from path to class name, without images whose folders are not named as a class.

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


def read_batches(files: Sequence[Path], form: Form, batch_size: int) -> Iterator[ReadBatch]:
    """Decode files in threads, in order, a few batches ahead of their use.

    Args:
        files: paths of the files.
        form: size, channels and scaling that images are brought to.
        batch_size: files per batch.

    Yields:
        Batches; a file that cannot be read is left out of its batch and listed there.
    """
    decoded = decode_ahead(files, lambda path: read_image(path, form), _AHEAD * batch_size)
    for start in range(0, len(files), batch_size):
        batch = list(enumerate(islice(decoded, batch_size), start))
        images = [image for _, image in batch if not isinstance(image, InputError)]
        yield ReadBatch(
            torch.stack(images) if images else torch.empty(0, *form.image_shape, dtype=torch.uint8),
            [position for position, image in batch if not isinstance(image, InputError)],
            {at: error.message.removesuffix(SKIP) for at, error in batch if isinstance(error, InputError)},
        )
