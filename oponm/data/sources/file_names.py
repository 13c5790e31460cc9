"""Stores the paths of millions of files in one byte string, which processes share and which is fast to pickle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt


class Stat(NamedTuple):
    """Shows whether a file has changed: its length in bytes, and the time of its last modification in nanoseconds."""

    length: int
    mtime_ns: int


class FileNames:
    """Paths inside a folder; a :class:`~pathlib.Path` is made only when one is requested.

    A path takes the bytes of its name plus 12. Subsets, by indexing with an array or a slice, share the names.

    Args:
        root: the folder.
        text: bytes that contain all names, relative to ``root``, in the file system's encoding.
        starts: position in ``text`` of the start of each name, (N,), int64.
        lengths: length of each name in bytes, (N,), int32.

    Example:
        >>> names = FileNames.of([Path("b/1.jpg"), Path("a/2.jpg")], root=Path("photos"))
        >>> names[1], len(names), [*names[np.array([1])]]
        (PosixPath('photos/a/2.jpg'), 2, [PosixPath('photos/a/2.jpg')])
    """

    def __init__(self, root: Path, text: bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32]) -> None:
        self.root, self.text, self.starts, self.lengths = root, text, starts, lengths

    @classmethod
    def of(cls, files: Iterable[Path] | FileNames, root: Path | None = None) -> FileNames:
        """Store the paths of some files; a ``FileNames`` is returned as it is.

        Args:
            files: paths, relative to ``root``.
            root: the folder that ``files`` are relative to; None leaves the paths as they are.

        Example:
            >>> [*FileNames.of([Path("/photos/1.jpg"), Path("2.jpg")])]
            [PosixPath('/photos/1.jpg'), PosixPath('2.jpg')]
        """
        if isinstance(files, cls):
            return files
        names = [os.fsencode(file) for file in files]
        lengths = np.array([len(name) for name in names], dtype=np.int32)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        return cls(Path() if root is None else root, b"".join(names), starts, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, which: int | np.integer) -> Path: ...

    @overload
    def __getitem__(self, which: slice | npt.NDArray[np.int64]) -> FileNames: ...

    def __getitem__(self, which: int | np.integer | slice | npt.NDArray[np.int64]) -> Path | FileNames:
        if isinstance(which, int | np.integer):
            start = int(self.starts[which])
            return self.root / os.fsdecode(self.text[start : start + int(self.lengths[which])])
        return FileNames(self.root, self.text, self.starts[which], self.lengths[which])

    def __iter__(self) -> Iterator[Path]:
        return (Path(name) for name in self.strings())

    def strings(self) -> Iterator[str]:
        """Yield the paths as strings, which is faster than a :class:`~pathlib.Path` for each."""
        root = str(self.root)
        above = "" if root == "." else root.rstrip(os.sep) + os.sep
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield above + os.fsdecode(self.text[start : start + length])

    def stats(self) -> Iterator[Stat | None]:
        """Yield the length and modification time of each file; None for a missing one, which decoding reports.

        Example:
            >>> [*FileNames.of([Path("nowhere.jpg")]).stats()]
            [None]
        """
        return map(_stat, self.strings())


def _stat(name: str) -> Stat | None:
    try:
        facts = os.stat(name)
    except OSError:
        return None
    return Stat(facts.st_size, facts.st_mtime_ns)
