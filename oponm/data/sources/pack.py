"""A pack: decoded images in one memory-mapped file, an index, and a file that marks both as complete.

The folder contains ``images.bin``, the pixels of all images one after the other, each (H, W, 3), uint8, of its own
size; ``index.jsonl``, a line that describes how the images were made, and a line per image: path, length and
modification time of its file, height and width, and a CRC-32 of its pixels; and ``done``, the SHA-256 of the index.
Without ``done`` the folder is no pack.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.filesize import decimal

from oponm.errors import InputError

IMAGES, INDEX, DONE = "images.bin", "index.jsonl", "done"
FORMAT = 2

Pixels = npt.NDArray[np.uint8]


class UnusablePack(Exception):
    """A folder contains no pack, or a damaged one; the message gives the reason."""


class Stamp(NamedTuple):
    """Path, length and modification time of a file, which show whether it has changed.

    Attributes:
        path: path relative to the data set's folder, with ``/``.
        length: length in bytes.
        mtime_ns: time of the last modification in nanoseconds.
    """

    path: str
    length: int
    mtime_ns: int


class Entry(NamedTuple):
    """An entry for an image of a pack.

    Attributes:
        stamp: path, length and modification time of the image's file.
        height: height in pixels; 0 for a file that could not be decoded.
        width: width in pixels; 0 for a file that could not be decoded.
        crc32: CRC-32 of the pixels.
        error: reason why the file could not be decoded; empty if it could.
    """

    stamp: Stamp
    height: int
    width: int
    crc32: int = 0
    error: str = ""

    @property
    def num_bytes(self) -> int:
        """Number of bytes of the pixels."""
        return 3 * self.height * self.width


class Pack:
    """A complete pack, opened for reading; processes that read it share its memory.

    Args:
        folder: a folder that :class:`PackWriter` has finished.

    Raises:
        UnusablePack: if the pack is not complete. Only :meth:`verify` compares pixels with their checksums.

    Attributes:
        recipe: description of how the images were made.
        entries: an entry for each image.
        rows: dict from the :attr:`Stamp.path` of a file to its row in ``entries``.
        fingerprint: SHA-256 of the index.

    Example:
        >>> import tempfile
        >>> from oponm.data.sources.pack import PackWriter
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = PackWriter(folder, "as they are", [Stamp("one.png", 70, 0)])
        >>> writer.add(np.zeros((2, 3, 3), dtype=np.uint8))
        >>> writer.finish()
        >>> Pack(folder).image(0).shape
        (2, 3, 3)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        before = _identity(folder / DONE)
        self.recipe, self.entries, self.fingerprint = _read_index(folder)
        self.rows = {entry.stamp.path: row for row, entry in enumerate(self.entries)}
        # Arrays, so that processes that share the pack touch no Python objects, which would copy the memory.
        self.sizes = np.array([(entry.height, entry.width) for entry in self.entries], dtype=np.int64).reshape(-1, 2)
        self.offsets = np.concatenate([[0], np.cumsum(3 * self.sizes.prod(1))])
        self._map: Pixels | None = None
        self._identity = _identity(folder / IMAGES)
        if self._identity[-1] != self.num_bytes:
            raise UnusablePack(f"{IMAGES} has {self._identity[-1]} bytes, {self.num_bytes} belong there")
        if _identity(folder / DONE) != before:
            raise UnusablePack("the pack is being replaced by another process")

    def __getstate__(self) -> dict[str, Any]:
        # A process that receives the pack maps the file itself, and reads only pixels.
        return self.__dict__ | {"_map": None, "entries": [], "rows": {}}

    @property
    def num_bytes(self) -> int:
        """Number of bytes of all pixels."""
        return int(self.offsets[-1])

    @property
    def pixels(self) -> Pixels:
        """All pixels, (num_bytes,), mapped into memory on first use."""
        if self._map is None:
            if _identity(self.folder / IMAGES) != self._identity:
                raise InputError(f"was replaced while this process read it: {self.folder}; run again", "pack")
            # The system cannot map an empty file.
            empty = np.zeros(0, dtype=np.uint8)
            self._map = np.memmap(self.folder / IMAGES, dtype=np.uint8, mode="r") if self.num_bytes else empty
        return self._map

    def description(self) -> str:
        """The folder and the contents of the pack, in words."""
        readable = sum(entry.height > 0 for entry in self.entries)
        return f"{self.folder}, {readable:,} images, {decimal(self.num_bytes)}, {self.recipe}"

    def image(self, row: int) -> Pixels:
        """Pixels of a row, (H, W, 3): a view of the file."""
        start, end = self.offsets[row : row + 2]
        return self.pixels[start:end].reshape(*self.sizes[row], 3)

    def verify(
        self,
        rows: npt.NDArray[np.int64] | None = None,
        track: Callable[[list[int]], Iterable[int]] = list,
    ) -> None:
        """Compare pixels with their checksums.

        Args:
            rows: rows to compare; None for all.
            track: yields the rows, and may show progress.

        Raises:
            UnusablePack: naming an image whose pixels differ.
        """
        for row in track(list(range(len(self.entries))) if rows is None else np.unique(rows).tolist()):
            entry = self.entries[row]
            if zlib.crc32(self.image(row).data) != entry.crc32:
                raise UnusablePack(f"{IMAGES} is damaged at {entry.stamp.path}")


def header_line(recipe: str) -> bytes:
    r"""The first line of an index.

    Example:
        >>> header_line("as they are")
        b'{"format": 2, "recipe": "as they are"}\n'
    """
    return _line({"format": FORMAT, "recipe": recipe})


def entry_line(entry: Entry) -> bytes:
    r"""An image as a line of the index, in ASCII for any encoding of file names.

    Example:
        >>> entry_line(Entry(Stamp("a.png", 70, 5), 2, 3, 9))
        b'["a.png", 70, 5, 2, 3, 9]\n'
    """
    stamp, *others, error = entry
    return _line([*stamp, *others, *([error] if error else [])])


def parse_entry(line: bytes) -> Entry:
    """Parse a line that :func:`entry_line` wrote.

    Raises:
        UnusablePack: if the line is truncated, or no entry of an image.

    Example:
        >>> parse_entry(entry_line(Entry(Stamp("a.png", 70, 5), 2, 3, 9))).stamp.path
        'a.png'
    """
    try:
        path, length, mtime_ns, *others = json.loads(line)
        entry = Entry(Stamp(path, length, mtime_ns), *others)
    except (ValueError, TypeError) as error:
        raise UnusablePack(f"{INDEX} is damaged") from error
    if entry_line(entry) != line:
        raise UnusablePack(f"{INDEX} is damaged")
    return entry


def _line(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _read_index(folder: Path) -> tuple[str, list[Entry], str]:
    try:
        done, index = (folder / DONE).read_bytes(), (folder / INDEX).read_bytes()
    except FileNotFoundError:
        begun = (folder / INDEX).exists()
        raise UnusablePack("the pack is not complete yet" if begun else "the folder has no pack") from None
    except OSError as error:
        raise UnusablePack(f"the pack cannot be read ({error.strerror})") from error
    fingerprint = hashlib.sha256(index).hexdigest()
    if done.decode(errors="replace") != fingerprint:
        raise UnusablePack(f"{INDEX} is damaged")
    header, *lines = index.splitlines(keepends=True)
    facts = json.loads(header)
    if facts["format"] != FORMAT:
        raise UnusablePack(f"{INDEX} is of format {facts['format']}, not {FORMAT}")
    return facts["recipe"], [parse_entry(line) for line in lines], fingerprint


def _identity(file: Path) -> tuple[int, ...]:
    """Values that change if a file is replaced; the last one is its length, 0 for a missing file."""
    try:
        facts = file.stat()
    except OSError:
        return (0,)
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


AT_ONCE_IMAGES, AT_ONCE_BYTES = 256, 2**25  # amount that is collected before it is written


class PackWriter:
    """Writes a pack, and continues an interrupted attempt at the same pack.

    The pixels of an image reach the disk before its line in the index, so the lines show how far an attempt came;
    ``done`` is written last. The result is the same to the bit, however often writing was interrupted. Only one process
    may write to a folder.

    Args:
        folder: an existing folder. A complete pack in it is removed; processes that have its pixels mapped can still
            read them.
        recipe: description of how the images are made.
        stamps: path, length and modification time of each file, in the order of the images.

    Attributes:
        done: number of images that are safely on the disk.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = PackWriter(folder, "as they are", [Stamp("one.png", 70, 0), Stamp("two.png", 9, 0)])
        >>> writer.add(np.zeros((2, 3, 3), dtype=np.uint8))
        >>> writer.add(None, "is no image")
        >>> writer.finish()
        >>> sorted(file.name for file in folder.iterdir())
        ['done', 'images.bin', 'index.jsonl']
    """

    def __init__(self, folder: Path, recipe: str, stamps: Sequence[Stamp]) -> None:
        self.folder, self.stamps = folder, stamps
        self.images, self.index = folder / IMAGES, folder / INDEX
        self._entries: list[Entry] = []
        self._pixels = bytearray()
        header = header_line(recipe)
        kept = [] if (folder / DONE).exists() else self._kept(header)
        self.done = len(kept)
        if kept:
            os.truncate(self.images, sum(entry.num_bytes for entry in kept))
            os.truncate(self.index, len(header) + sum(len(entry_line(entry)) for entry in kept))
            return
        self.images.unlink(missing_ok=True)  # not truncated, as a process that reads it may have it mapped
        (folder / DONE).unlink(missing_ok=True)
        _sync(folder)  # so that it never exists beside other pixels
        self.index.unlink(missing_ok=True)
        _append(self.images, b"")
        _append(self.index, header)

    def add(self, image: Pixels | None, error: str = "") -> None:
        """Append the next image, (H, W, 3); None for a file that cannot be decoded, with the reason."""
        stamp = self.stamps[self.done + len(self._entries)]
        if image is None:
            self._entries.append(Entry(stamp, 0, 0, 0, error))
        else:
            pixels, (height, width, _) = image.tobytes(), image.shape
            self._entries.append(Entry(stamp, height, width, zlib.crc32(pixels)))
            self._pixels += pixels
        if len(self._entries) >= AT_ONCE_IMAGES or len(self._pixels) >= AT_ONCE_BYTES:
            self._commit()

    def finish(self) -> None:
        """Complete the pack."""
        self._commit()
        partial = self.folder / f"{DONE}.partial"
        partial.unlink(missing_ok=True)
        _append(partial, hashlib.sha256(self.index.read_bytes()).hexdigest().encode())
        os.replace(partial, self.folder / DONE)
        _sync(self.folder)

    def _commit(self) -> None:
        _append(self.images, self._pixels)
        _append(self.index, b"".join(map(entry_line, self._entries)))
        self.done += len(self._entries)
        self._entries, self._pixels = [], bytearray()

    def _kept(self, header: bytes) -> list[Entry]:
        """Return the entries of an interrupted attempt that are complete and whose files have not changed."""
        kept: list[Entry] = []
        if not (self.images.exists() and self.index.exists()):
            return kept
        first, *lines = self.index.read_bytes().splitlines(keepends=True) or [b""]
        with self.images.open("rb") as images:
            for stamp, line in zip(self.stamps, lines if first == header else [], strict=False):
                try:
                    entry = parse_entry(line)
                except UnusablePack:  # truncated within the line
                    break
                pixels = images.read(entry.num_bytes)
                if entry.stamp != stamp or len(pixels) != entry.num_bytes or zlib.crc32(pixels) != entry.crc32:
                    break
                kept.append(entry)
        return kept


def _append(file: Path, content: bytes | bytearray) -> None:
    with file.open("ab") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Write renames to the disk, so that they survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
