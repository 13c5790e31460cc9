"""A run's folder belongs to one run at a time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, LOCK_FILE
from oponm.training.distributed import first_says, rank

log = logging.getLogger(__name__)
WAIT = 30.0  # seconds: processes whose command was killed have 21 to finish a step and write a checkpoint


@contextmanager
def sole_use(folder: Path, begun: bool) -> Iterator[None]:
    """Hold a run's folder, in the first process of the run; all of them must enter.

    The lock is the system's, on a file in the folder that stays there and says which process had it last. However that
    process ends, the lock is free again, and none is ever to be removed by hand. A lock that is taken is waited for, up
    to :data:`WAIT` seconds. On NFS it holds between machines where the server and the mounts support locks (the default
    since NFSv4; with ``nolock`` or ``local_lock=all`` each machine has locks of its own); on a file system without any,
    a warning is logged and the run continues unprotected.

    Args:
        folder: the run's folder; made if need be.
        begun: it holds a run to resume.

    Raises:
        InputError: naming the folder and the process that has it; or if a run was begun in it while this one waited.

    Example:
        >>> import tempfile
        >>> with sole_use(Path(tempfile.mkdtemp(), "run"), begun=False):
        ...     pass
    """
    with ExitStack() as held:
        refusal = None
        if rank() == 0:
            try:
                held.enter_context(_locked(folder))
                if not begun and (folder / CONFIG_FILE).is_file():
                    raise InputError(f"{folder} now holds a run: choose another folder, or resume that one by resume")
            except InputError as error:
                refusal = error
            except OSError as error:
                refusal = InputError(f"{folder} cannot be used ({error.strerror}): choose another folder")
        if said := first_says(refusal.message if refusal else None):
            raise InputError(said, "output_dir") from refusal
        yield


def is_free(folder: Path) -> bool:
    """Whether no other run has a folder.

    Args:
        folder: the run's folder, there already.

    Example:
        >>> import tempfile
        >>> is_free(Path(tempfile.mkdtemp()))
        True
    """
    if not (folder / LOCK_FILE).is_file():
        return True
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        return True
    lock.release()
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK_FILE
    lock = FileLock(file)
    try:
        _acquire(lock, folder)
        file.write_text(f"{os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    except (OSError, NotImplementedError) as error:
        log.warning("%s cannot be locked (%s): see to it that no other run uses it", folder, error)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    """Take the lock; if it is taken, wait."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("%s is in use by process %s: waiting up to %.0f s for its end", folder, _holder(folder), WAIT)
        try:
            lock.acquire(timeout=WAIT)
        except Timeout:
            message = f"{folder} is in use by process {_holder(folder)}: wait for its end, or choose another folder"
            raise InputError(message) from None


def _holder(folder: Path) -> str:
    """Which process says that it has the lock; some versions of filelock empty the file while they wait."""
    try:
        return (folder / LOCK_FILE).read_text(encoding="utf-8").strip() or "(unknown)"
    except OSError:
        return "(unknown)"
