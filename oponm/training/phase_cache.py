"""Stores the training state at the end of a phase, for other runs to start from."""

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
    """A folder of training states, each in a file named by the hash of everything that determines the state.

    Processes may share the folder: files are written atomically.

    Args:
        folder: the folder; made when the first state is stored.

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
        """Return the state that is stored under a key, or None. A damaged file is removed with a warning.

        No code in the file is executed.

        Args:
            key: hash of what determines the state, from :func:`~oponm.training.phase_key.phase_key`.
        """
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"wrong checksum of {damaged}")
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["key"] != key:
                raise ValueError("it belongs to another phase")
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
        """Store a state atomically; if that fails, log a warning and return, so that training continues.

        Args:
            key: hash of what determines the state.
            state: dict of tensors and plain values.
        """
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
        """Context manager that locks a phase for training, and waits if another process has locked it.

        After the wait, the other process's result may be in the cache. If the folder cannot be locked, a warning is
        logged and the block runs without a lock.

        Args:
            key: hash of what determines the state at the end of the phase.
            waiting: function that is called every second of the wait; an exception in it ends the wait.
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
        """Return the stored phases, newest first."""
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
