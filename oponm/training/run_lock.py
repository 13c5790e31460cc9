"""Locks a run's folder, so that one run at a time uses it."""

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
from oponm.training.distributed import only_first, rank

log = logging.getLogger(__name__)
WAIT = 30.0  # seconds; processes of a killed command take up to 21 to finish a step and write a checkpoint


@contextmanager
def sole_use(folder: Path, begun: bool) -> Iterator[None]:
    """Context manager in which rank 0 holds the lock of the run's folder; all processes must enter the block.

    It is a lock of the operating system, on a file in the folder. The file stays, and names the process that held the
    lock last. The lock is released when this process ends, even after a crash, so nobody has to remove the file by
    hand. If another process holds the lock, this one waits up to :data:`WAIT` seconds. On NFS the lock holds between
    machines if the server and the mounts support locks (the default since NFSv4; with ``nolock`` or ``local_lock=all``
    each machine has separate locks). On a file system without locks, a warning is logged and the run continues
    unprotected.

    Args:
        folder: the run's folder; made if needed.
        begun: whether the folder holds a run to resume.

    Raises:
        InputError: naming the folder and the process that uses it; or if another run has begun in the folder while this
            one waited.

    Example:
        >>> import tempfile
        >>> with sole_use(Path(tempfile.mkdtemp(), "run"), begun=False):
        ...     pass
    """
    with ExitStack() as held:
        with only_first():
            if rank() == 0:
                try:
                    held.enter_context(_locked(folder))
                except OSError as error:
                    refusal = f"{folder} cannot be used ({error.strerror}): choose another folder"
                    raise InputError(refusal, "output_dir") from error
                if not begun and (folder / CONFIG_FILE).is_file():
                    remedy = "choose another folder, or resume that one by resume"
                    raise InputError(f"{folder} now holds a run: {remedy}", "output_dir")
        yield


def is_free(folder: Path) -> bool:
    """Whether no other run uses a folder.

    Args:
        folder: the run's folder, which exists.

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
    """Acquire the lock; wait if it is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("%s is in use by process %s: waiting up to %.0f s for its end", folder, _holder(folder), WAIT)
            lock.acquire(timeout=WAIT)
        (folder / LOCK_FILE).write_text(f"{os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    except Timeout:
        message = f"{folder} is in use by process {_holder(folder)}: wait for its end, or choose another folder"
        raise InputError(message, "output_dir") from None
    except (OSError, NotImplementedError) as error:
        log.warning("%s cannot be locked (%s): see to it that no other run uses it", folder, error)
    try:
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """The process that holds the lock, by its file; some versions of filelock empty the file while they wait."""
    try:
        return (folder / LOCK_FILE).read_text(encoding="utf-8").strip() or "(unknown)"
    except OSError:
        return "(unknown)"
