"""A pack: decoded images in one memory-mapped file, with a manifest that tells whether it is whole.

A folder holds ``images.bin``, the pixels of all images one behind the other, each (H, W, 3), uint8, of a size of its
own, and ``manifest.jsonl``: a line that says how the images were made; a line a chunk of images, with path, length and
modification time of each file, height and width of its pixels, and a CRC-32 of the chunk's pixels; and a line with a
SHA-256 of all lines before. Without a manifest there is no pack, whatever else the folder holds.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.filesize import decimal

from oponm.errors import InputError

IMAGES, MANIFEST = "images.bin", "manifest.jsonl"
PARTIAL = ".partial"  # ending of either while it is written
FORMAT = 1

Pixels = npt.NDArray[np.uint8]


class UnusablePack(Exception):
    """A folder holds no pack, or one that is damaged; says why."""


class Stamp(NamedTuple):
    """What tells a file from another, or from an older state of itself.

    Attributes:
        path: relative to the data set's folder, with ``/``.
        length: in bytes.
        mtime_ns: time of its last modification in nanoseconds.
    """

    path: str
    length: int
    mtime_ns: int


class Entry(NamedTuple):
    """An image of a pack.

    Attributes:
        stamp: its file.
        height: in pixels; 0 for a file that could not be decoded.
        width: in pixels; 0 for a file that could not be decoded.
        error: why it could not be decoded.
    """

    stamp: Stamp
    height: int
    width: int
    error: str = ""


class Chunk(NamedTuple):
    """Images that were written together; ``crc32`` is that of their pixels."""

    entries: list[Entry]
    crc32: int

    @property
    def num_bytes(self) -> int:
        """Length of the pixels."""
        return sum(3 * entry.height * entry.width for entry in self.entries)


class Pack:
    """A whole pack, opened for reading; the processes that read it share its memory.

    Args:
        folder: what :class:`~oponm.data.sources.pack_writer.PackWriter` has finished.

    Raises:
        UnusablePack: if it is not whole. Pixels are compared with their checksums by :meth:`verify` alone.

    Attributes:
        recipe: how the images were made.
        entries: the images.
        rows: row of each file, by :attr:`Stamp.path`.
        fingerprint: SHA-256 of the manifest.

    Example:
        >>> import tempfile
        >>> from oponm.data.sources.pack_writer import PackWriter
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = PackWriter(folder, "as they are", [Stamp("one.png", 70, 0)])
        >>> writer.add(np.zeros((2, 3, 3), dtype=np.uint8))
        >>> writer.finish()
        >>> Pack(folder).image(0).shape
        (2, 3, 3)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        before = _identity(folder / MANIFEST)
        self.recipe, self.chunks, self.fingerprint = _read_manifest(folder)
        self.entries = [entry for chunk in self.chunks for entry in chunk.entries]
        self.rows = {entry.stamp.path: row for row, entry in enumerate(self.entries)}
        # Arrays, so that processes that share the pack touch no object of an entry, which would copy its memory.
        self.sizes = np.array([(entry.height, entry.width) for entry in self.entries], dtype=np.int64).reshape(-1, 2)
        self.offsets = np.concatenate([[0], np.cumsum(3 * self.sizes.prod(1))])
        self._map: Pixels | None = None
        self._identity = _identity(folder / IMAGES)
        if self._identity[-1] != self.num_bytes:
            raise UnusablePack(f"{IMAGES} has {self._identity[-1]} bytes, {self.num_bytes} belong there")
        if _identity(folder / MANIFEST) != before:
            raise UnusablePack("it is being replaced at this moment")

    def __getstate__(self) -> dict[str, Any]:
        # A process that it is sent to maps the file itself, and asks for nothing but pixels.
        return self.__dict__ | {"_map": None, "entries": [], "chunks": [], "rows": {}}

    @property
    def num_bytes(self) -> int:
        """Length of all pixels."""
        return int(self.offsets[-1])

    @property
    def pixels(self) -> Pixels:
        """All pixels, (num_bytes,), mapped into memory when first asked for."""
        if self._map is None:
            if _identity(self.folder / IMAGES) != self._identity:
                raise InputError(f"{self.folder} was made anew while in use; run again", "pack")
            # The system maps no file of no bytes.
            empty = np.zeros(0, dtype=np.uint8)
            self._map = np.memmap(self.folder / IMAGES, dtype=np.uint8, mode="r") if self.num_bytes else empty
        return self._map

    def description(self) -> str:
        """Where it is, and what it holds."""
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
            rows: those to be trusted afterwards; None for all.
            track: passes the numbers of chunks on, and may show how many have gone by.

        Raises:
            UnusablePack: naming the images between which pixels differ.
        """
        ends = np.cumsum([len(chunk.entries) for chunk in self.chunks])
        numbers = range(len(ends)) if rows is None else np.unique(np.searchsorted(ends, rows, side="right")).tolist()
        for number in track(list(numbers)):
            chunk = self.chunks[number]
            start, end = self.offsets[[ends[number] - len(chunk.entries), ends[number]]]
            if zlib.crc32(self.pixels[start:end].data) != chunk.crc32:
                first, last = chunk.entries[0].stamp.path, chunk.entries[-1].stamp.path
                raise UnusablePack(f"{IMAGES} is damaged between {first} and {last}")


def manifest_line(content: dict[str, Any]) -> bytes:
    r"""A line of the manifest, in ASCII whatever the encoding of file names.

    Example:
        >>> manifest_line({"format": 1})
        b'{"format": 1}\n'
    """
    return json.dumps(content).encode() + b"\n"


def chunk_line(chunk: Chunk) -> bytes:
    """A chunk as a line of the manifest.

    Example:
        >>> chunk_line(Chunk([Entry(Stamp("a.png", 70, 5), 2, 3)], 9)).decode().strip()
        '{"images": [["a.png", 70, 5, 2, 3]], "crc32": 9}'
    """
    images = [[*stamp, height, width, *([error] if error else [])] for stamp, height, width, error in chunk.entries]
    return manifest_line({"images": images, "crc32": chunk.crc32})


def parse_chunk(line: bytes) -> Chunk:
    """The inverse of :func:`chunk_line`.

    Raises:
        UnusablePack: if the line is cut off or no chunk.

    Example:
        >>> parse_chunk(chunk_line(Chunk([], 9)))
        Chunk(entries=[], crc32=9)
    """
    try:
        content = json.loads(line)
        chunk = Chunk([Entry(Stamp(*image[:3]), *image[3:]) for image in content["images"]], content["crc32"])
    except (ValueError, TypeError, KeyError) as error:
        raise UnusablePack(f"{MANIFEST} is damaged") from error
    if chunk_line(chunk) != line:
        raise UnusablePack(f"{MANIFEST} is damaged")
    return chunk


def _read_manifest(folder: Path) -> tuple[str, list[Chunk], str]:
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        begun = (folder / (MANIFEST + PARTIAL)).exists()
        raise UnusablePack("it is not complete yet" if begun else "there is none") from None
    except OSError as error:
        raise UnusablePack(f"it cannot be read ({error.strerror})") from error
    *lines, last = content.splitlines(keepends=True) or [b""]
    fingerprint = hashlib.sha256(b"".join(lines)).hexdigest()
    if last != manifest_line({"sha256": fingerprint}):
        raise UnusablePack(f"{MANIFEST} is damaged")
    header = json.loads(lines[0])
    if header["format"] != FORMAT:
        raise UnusablePack(f"{MANIFEST} is of format {header['format']}, not {FORMAT}")
    return header["recipe"], [parse_chunk(line) for line in lines[1:]], fingerprint


def _identity(file: Path) -> tuple[int, ...]:
    """What changes if a file is replaced; its length last, 0 for none."""
    try:
        facts = file.stat()
    except OSError:
        return (0,)
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
