"""Writes a pack so that an interruption leaves nothing that looks complete."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from oponm.data.sources.pack import (
    DONE,
    IMAGES,
    INDEX,
    Entry,
    Pixels,
    Stamp,
    UnusablePack,
    entry_line,
    header_line,
    parse_entry,
)

AT_ONCE_IMAGES, AT_ONCE_BYTES = 256, 2**25  # amount that is collected before it is written


class PackWriter:
    """Writes a pack, and continues an earlier attempt at the same pack.

    The pixels of an image reach the disk before its line in the index, so the lines show how far an attempt came;
    ``done`` is written last. The result is the same to the bit, however often writing was interrupted. Only one process
    may write to a folder.

    Args:
        folder: an existing folder. A pack in it is removed; processes that have opened it keep its pixels.
        recipe: description of how the images are made.
        stamps: identities of the files, in the order of the images.

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
        """The entries of an earlier attempt that are complete and whose files have not changed."""
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
