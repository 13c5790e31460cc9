"""Published data sets that are text lists: one line an image, ``<relative path> <label>``."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oponm.data.source import Part
from oponm.errors import InputError, check_choice

HASHES = ("md5", "git")
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


def read_list(path: str | Path, root: str | Path, num_classes: int) -> Part:
    r"""Read a list of images; they may be missing, see :func:`check_present`, but lie below ``root`` in any case.

    Args:
        path: the list, one line an image: a path relative to ``root``, written with ``/``, and a label.
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
    real_root = os.path.realpath(root)
    folders: dict[str, bool] = {}  # whether each is inside
    names: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(read_lines(path), start=1):
        name, label = _parse(line, num_classes, f"{path}, line {number}")
        parent = name.rpartition("/")[0]
        if parent not in folders:
            folders[parent] = _is_inside(os.path.join(root, parent), real_root)
        file = os.path.join(root, name)
        if not folders[parent] or (os.path.islink(file) and not _is_inside(file, real_root)):
            raise InputError(
                f"{path}, line {number}: {name} leaves {root} through a symbolic link; "
                "move the images there, or set data.root to the folder that the link leads to"
            )
        names.append(file)
        labels.append(label)
    files = np.empty(len(names), dtype=object)
    files[:] = [Path(name) for name in names]
    return Part(files, np.array(labels, dtype=np.int64))


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text.

    Raises:
        InputError: naming the file, if it cannot be read, is no text or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); download it again") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; download it again") from error
    if lines == [""]:
        raise InputError(f"{path}: is empty; download it again")
    return lines


def check_hash(path: Path, expected: str, kind: str) -> None:
    r"""Compare a file with what was published.

    Args:
        path: the file.
        expected: the published hash in hexadecimal digits.
        kind: ``"md5"`` of the content, or ``"git"``, the SHA-1 by which Git knows it: of ``blob <length>\0`` and the
            content.

    Raises:
        InputError: naming both hashes, if they differ.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "empty.txt")
        >>> file.touch()
        >>> check_hash(file, "d41d8cd98f00b204e9800998ecf8427e", "md5")
        >>> check_hash(file, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "git")
    """
    check_choice("kind", kind, HASHES)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); download it again") from error
    if kind == "md5":
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    else:
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if found != expected:
        name = "md5" if kind == "md5" else "git blob sha1"
        raise InputError(
            f"{path}: is not the published list: {name} {expected} expected, {found} found; "
            "download it again, or set data.verify=false"
        )


def check_present(files: Sequence[Path] | npt.NDArray[np.object_], archive: str, layout: str) -> None:
    """Make sure that images exist before the first is decoded.

    Args:
        files: the images.
        archive: the download that holds them.
        layout: how they are to lie in their folder.

    Raises:
        InputError: with the number of those missing, the first three, archive and layout.
    """
    missing = [str(file) for file in files if not os.path.isfile(file)]
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(f"{len(missing)} of {len(files)} images are missing: {first}; unpack {archive} as {layout}")


def _parse(line: str, num_classes: int, where: str) -> tuple[str, int]:
    name, separator, label = line.strip().rpartition(" ")
    name = name.rstrip()
    if not separator or not _WHOLE_NUMBER.fullmatch(label) or "\\" in name or "\0" in name:
        raise InputError(f"{where}: is not '<relative path> <label>': {line[:80]!r}; mend the list")
    if name.startswith("/") or os.path.isabs(name) or ".." in name.split("/"):
        raise InputError(f"{where}: {name} leaves the folder of images; paths are relative to it, without '..'")
    if not 0 <= int(label) < num_classes:
        raise InputError(f"{where}: label {label} lies outside [0, {num_classes}); mend the list")
    return name, int(label)


def _is_inside(path: str, real_root: str) -> bool:
    real = os.path.realpath(path)
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)
