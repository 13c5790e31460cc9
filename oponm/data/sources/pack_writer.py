"""Writing a pack so that no interruption leaves one that is taken for whole."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from oponm.data.sources.pack import (
    FORMAT,
    IMAGES,
    MANIFEST,
    PARTIAL,
    Chunk,
    Entry,
    Pixels,
    Stamp,
    UnusablePack,
    chunk_line,
    manifest_line,
    parse_chunk,
)

CHUNK_IMAGES, CHUNK_BYTES = 256, 2**25  # a chunk ends with the image that reaches either


class PackWriter:
    """Writes a pack, from where an earlier attempt at the same one was cut off.

    Pixels and manifest grow as ``*.partial``, a chunk's pixels reaching the disk before its line in the manifest, so
    that what an attempt left can be told by its lines. The result is the same to the bit, however often it was cut
    off. One process a folder.

    Args:
        folder: exists already. A pack in it stays as it is until :meth:`finish` replaces it.
        recipe: how the images are made.
        stamps: of the files, in the order of the images.

    Attributes:
        done: how many images are safely there.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = PackWriter(folder, "as they are", [Stamp("one.png", 70, 0), Stamp("two.png", 9, 0)])
        >>> writer.add(np.zeros((2, 3, 3), dtype=np.uint8))
        >>> writer.add(None, "is no image")
        >>> writer.finish()
        >>> sorted(file.name for file in folder.iterdir())
        ['images.bin', 'manifest.jsonl']
    """

    def __init__(self, folder: Path, recipe: str, stamps: Sequence[Stamp]) -> None:
        self.folder, self.stamps = folder, stamps
        self.images, self.manifest = folder / (IMAGES + PARTIAL), folder / (MANIFEST + PARTIAL)
        self._entries: list[Entry] = []
        self._pixels = bytearray()
        if self.manifest.exists() and not (folder / MANIFEST).exists() and not self.images.exists():
            with suppress(FileNotFoundError):  # cut off between the two renames
                os.replace(folder / IMAGES, self.images)
        header = manifest_line({"format": FORMAT, "recipe": recipe})
        chunks = self._usable_chunks(header)
        self.done = sum(len(chunk.entries) for chunk in chunks)
        _cut(self.images, sum(chunk.num_bytes for chunk in chunks))
        _cut(self.manifest, sum(len(chunk_line(chunk)) for chunk in chunks) + (len(header) if chunks else 0))
        if not chunks:
            _append(self.manifest, header)

    def add(self, image: Pixels | None, error: str = "") -> None:
        """Append the next image, (H, W, 3); None for a file that cannot be decoded, with the reason."""
        stamp = self.stamps[self.done + len(self._entries)]
        if image is None:
            self._entries.append(Entry(stamp, 0, 0, error))
        else:
            self._entries.append(Entry(stamp, *image.shape[:2]))
            self._pixels += image.tobytes()
        if len(self._entries) >= CHUNK_IMAGES or len(self._pixels) >= CHUNK_BYTES:
            self._commit()

    def finish(self) -> None:
        """Complete the pack, in place of one that was there before."""
        if self._entries:
            self._commit()
        _append(self.manifest, manifest_line({"sha256": hashlib.sha256(self.manifest.read_bytes()).hexdigest()}))
        (self.folder / MANIFEST).unlink(missing_ok=True)  # so that an old manifest never stands beside new pixels
        _sync(self.folder)
        os.replace(self.images, self.folder / IMAGES)
        _sync(self.folder)
        os.replace(self.manifest, self.folder / MANIFEST)
        _sync(self.folder)

    def _commit(self) -> None:
        _append(self.images, self._pixels)
        _append(self.manifest, chunk_line(Chunk(self._entries, zlib.crc32(self._pixels))))
        self.done += len(self._entries)
        self._entries, self._pixels = [], bytearray()

    def _usable_chunks(self, header: bytes) -> list[Chunk]:
        """What an earlier attempt left, as far as it is whole and of the files as they now are."""
        usable: list[Chunk] = []
        if not (self.images.exists() and self.manifest.exists()):
            return usable
        first, *lines = self.manifest.read_bytes().splitlines(keepends=True) or [b""]
        position = 0
        with self.images.open("rb") as images:
            for line in lines if first == header else []:
                try:
                    chunk = parse_chunk(line)
                except UnusablePack:  # cut off within the line, or the last one, which is no chunk
                    break
                pixels = images.read(chunk.num_bytes)
                end = position + len(chunk.entries)
                same_files = [entry.stamp for entry in chunk.entries] == [*self.stamps[position:end]]
                if not same_files or len(pixels) != chunk.num_bytes or zlib.crc32(pixels) != chunk.crc32:
                    break
                usable.append(chunk)
                position = end
        return usable


def _cut(file: Path, length: int) -> None:
    with file.open("ab") as opened:
        opened.truncate(length)


def _append(file: Path, content: bytes | bytearray) -> None:
    with file.open("ab") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Make renames outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
