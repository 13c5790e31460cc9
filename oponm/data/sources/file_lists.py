"""Published data sets in text lists: one line per image, ``<relative path> <label>``."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from oponm.data.sources.base import Files, Part
from oponm.data.sources.class_folders import is_inside
from oponm.data.sources.file_names import FileNames
from oponm.errors import InputError

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_list(path: str | Path, root: str | Path, num_classes: int) -> Part:
    r"""Read a list of images; they must be inside ``root`` but need not exist, see :func:`check_present`.

    It takes the memory of the text, and 20 bytes per line; a million lines take about two seconds.

    Args:
        path: the list, one line per image: a path relative to ``root``, written with ``/``, and a label.
        root: the folder of the images.
        num_classes: labels lie in ``[0, num_classes)``.

    Returns:
        Paths and labels in the order of the list.

    Raises:
        InputError: naming list and line, for a line that is malformed, a label out of range, or a path that leaves
            ``root``: absolute, through ``..``, or through a symbolic link.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = (root / "train.txt").write_text("train/cat/1.jpg 0\ntrain/dog/7.jpg 1\n")
        >>> files, labels = read_list(root / "train.txt", root, num_classes=2)
        >>> [file.name for file in files], labels
        (['1.jpg', '7.jpg'], array([0, 1]))
    """
    path, root = Path(path), Path(root)
    text, inside = read_text(path), check_relative(root)

    def lines() -> Iterator[tuple[int, int, int]]:
        start = 0
        for number, line in enumerate(io.BytesIO(text), 1):
            try:
                name, label = _parse(line.decode().removesuffix("\n"), num_classes)
                inside(name)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error.message}") from error
            encoded = name.encode()
            yield start + line.index(encoded), len(encoded), label
            start += len(line)

    listed = np.fromiter(lines(), dtype=[("start", np.int64), ("length", np.int32), ("label", np.int64)])
    starts, lengths, labels = (np.ascontiguousarray(listed[column]) for column in ("start", "length", "label"))
    return Part(FileNames(root, text, starts, lengths), labels)


def _parse(line: str, num_classes: int) -> tuple[str, int]:
    name, separator, label = line.strip().rpartition(" ")
    name = name.rstrip()
    if not separator or not _WHOLE_NUMBER.fullmatch(label) or "\\" in name or "\0" in name:
        raise InputError(f"is not '<relative path> <label>': {line[:80]!r}; correct the list")
    _check_below(name)
    if not 0 <= int(label) < num_classes:
        raise InputError(f"label {label} lies outside [0, {num_classes}); correct the list")
    return name, int(label)


def read_text(path: Path) -> bytes:
    """The content of a UTF-8 text, with lines that end in a newline only; the last may have none.

    Raises:
        InputError: naming the file, if it cannot be read, is no text or is empty.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); download it again") from error
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text.isascii() or text.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; download it again") from error
    if text in (b"", b"\n"):
        raise InputError(f"{path}: is empty; download it again")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text.

    Raises:
        InputError: as in :func:`read_text`.
    """
    return read_text(path).decode().removesuffix("\n").split("\n")


def check_present(files: Iterable[Path] | Files, archive: str, layout: str) -> None:
    """Check that all images exist before the first is decoded.

    Args:
        files: the images.
        archive: name of the download that contains them, for the error.
        layout: their layout in the folder, in words, for the error.

    Raises:
        InputError: naming the number of missing images, the first three of them, archive and layout.
    """
    missing, named, files = 0, list[str](), FileNames.of(files)
    for file in files.strings():
        if not os.path.isfile(file):
            missing += 1
            if len(named) < 3:
                named.append(file)
    if missing:
        first = ", ".join(named) + (", ..." if missing > 3 else "")
        raise InputError(f"{missing} of {len(files)} images are missing: {first}; unpack {archive} as {layout}")


def check_relative(root: Path) -> Callable[[str], None]:
    """Return a function that checks that a path stays below a folder; it reads each parent folder from disk only once.

    Args:
        root: the folder.

    Returns:
        A function from a path relative to ``root``, as text. It raises InputError for a path that leaves ``root``: an
        absolute one, or one that does so through ``..`` or a symbolic link.

    Example:
        >>> check_relative(Path())("../other/1.jpg")
        Traceback (most recent call last):
        oponm.errors.InputError: ../other/1.jpg leaves the folder of images; paths are relative to it, without '..'
    """
    links = _Links(root)

    def check(name: str) -> None:
        _check_below(name)
        if links.leave(name):
            raise InputError(
                f"{name} leaves {root} through a symbolic link; "
                "move the images there, or set data.root to the folder that the link leads to"
            )

    return check


def _check_below(name: str) -> None:
    if name.startswith("/") or (".." in name and ".." in name.split("/")):
        raise InputError(f"{name} leaves the folder of images; paths are relative to it, without '..'")


class _Links:
    """Symbolic links inside a folder, found by listing each folder of the names once."""

    def __init__(self, root: Path) -> None:
        self.root, self.real_root = root, os.path.realpath(root)
        self.known: dict[str, set[str] | None] = {}  # links in each folder; None for a folder outside

    def leave(self, name: str) -> bool:
        """Whether a name leads out of the folder."""
        folder, _, file = name.rpartition("/")
        if folder not in self.known:
            self.known[folder] = self._links_in(os.path.join(self.root, folder))
        links = self.known[folder]
        return links is None or (file in links and not is_inside(os.path.join(self.root, name), self.real_root))

    def _links_in(self, folder: str) -> set[str] | None:
        if not is_inside(folder, self.real_root):
            return None
        try:
            with os.scandir(folder) as entries:
                return {entry.name for entry in entries if entry.is_symlink()}
        except OSError:  # it is missing, which check_present reports
            return set()
