"""Stores trained phases for other runs to start from."""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A stored phase.

    Attributes:
        path: its file.
        size: in bytes.
        created: seconds since 1970.
    """

    path: Path
    size: int
    created: float


class PhaseCache:
    """A folder of training states, each under the hash of everything that determines it.

    Processes may share it: an entry is written to a temporary file and renamed, so that only whole entries are read.

    Args:
        folder: the folder; made when the first entry is stored.

    Example:
        >>> import tempfile
        >>> cache = PhaseCache(Path(tempfile.mkdtemp()))
        >>> cache.save("abc", {"epoch": 3, "model": {"weight": torch.ones(2)}})
        >>> cache.load("abc")["epoch"], cache.load("other") is None
        (3, True)
        >>> cache.clear()
        1
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> dict[str, Any] | None:
        """The state under a key, or None. A damaged entry is removed with a warning, and counts as missing.

        Nothing in the file is executed.
        """
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"checksum of {damaged}")
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["key"] != key:
                raise ValueError("it is another phase's")
            return dict(content["state"])
        except FileNotFoundError:  # the cache was cleared meanwhile
            return None
        except Exception as error:  # a damaged file can raise anything in the unpickler
            log.warning(
                "phase cache: %s is damaged (%s) and is trained again", path, " ".join(str(error).split())[:100]
            )
            path.unlink(missing_ok=True)
            return None

    def save(self, key: str, state: dict[str, Any]) -> None:
        """Store a state, whole or not at all; if that fails, training continues with a warning."""
        temporary = self._path(key).with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save({"key": key, "state": state}, temporary)
            temporary.replace(self._path(key))
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a full disk
            with suppress(OSError):
                temporary.unlink()
            log.warning("phase cache: %s cannot be written (%s): the phase is not kept", self.folder, error)

    @contextmanager
    def training(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the right to train a phase; wait while another process holds it, as its result can be used.

        Args:
            key: the phase's key.
            waiting: called every second of the wait; an exception in it ends the wait.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f"{key}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("phase cache: another run trains the same phase, waiting for it; phase_cache=off does not")
                started = time.perf_counter()
                while not lock.is_locked:
                    waiting()
                    with suppress(Timeout):
                        lock.acquire(timeout=1)
                log.info("phase cache: waited %.1f s", time.perf_counter() - started)
        except (OSError, NotImplementedError) as error:  # a folder that is read-only, or cannot be locked
            log.warning("phase cache: %s cannot be locked (%s): the phase is trained here too", self.folder, error)
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[Entry]:
        """The stored phases, newest first."""
        found = [(path, path.stat()) for path in self.folder.glob("*.phase")]
        entries = [Entry(path, stat.st_size, stat.st_mtime) for path, stat in found]
        return sorted(entries, key=lambda entry: -entry.created)

    def clear(self) -> int:
        """Remove all files that the cache has written.

        Returns:
            The number of entries removed.
        """
        entries = self.entries()
        for pattern in ("*.phase", "*.part", "*.lock"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        return len(entries)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.phase"
