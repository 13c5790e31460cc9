"""The names of the files in a run's folder, and how they are written."""

import csv
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
RESULT_FILE = "result.json"
LOG_FILE = "run.log"
LOCK_FILE = ".lock"
SPLIT_FILE = "split.csv"
PREDICTIONS_FILE = "test_predictions.csv"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary file beside it, to the disk, and renamed.

    One that says the same already is left alone.

    Args:
        path: the file; its folder must exist.
        text: what it is to say.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "config.yaml")
        >>> write_whole(path, "seed: 0")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('seed: 0', ['config.yaml'])
    """
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` once it is on the disk; after an error it does not.

    Args:
        path: the file; its folder must exist.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "matrix.npz")
        >>> with whole_file(path) as file:
        ...     _ = file.write(b"1")
        >>> path.read_bytes()
        b'1'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_csv(path: Path) -> Iterator[Any]:
    r"""A writer of CSV rows, in UTF-8, to a file that appears as :func:`whole_file` says.

    Args:
        path: the file; its folder must exist.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "split.csv")
        >>> with whole_csv(path) as writer:
        ...     _ = writer.writerow(["path", "part"])
        >>> path.read_text()
        'path,part\n'
    """
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        yield csv.writer(text, lineterminator="\n")
        text.flush()
        text.detach()


def left_of_start(name: str) -> bool:
    """Whether a file is one that a run leaves behind if it is killed before it has begun, which ``config.yaml`` tells.

    Example:
        >>> left_of_start("run.log"), left_of_start(".config.yaml.4711"), left_of_start("config.yaml")
        (True, True, False)
    """
    begun = (CONFIG_FILE, OVERRIDES_FILE, SPLIT_FILE)
    return name in (LOG_FILE, LOCK_FILE, OVERRIDES_FILE, SPLIT_FILE) or name.startswith(
        tuple(f".{file}." for file in begun)
    )


def logs_to(handler: logging.Handler, file: Path) -> bool:
    """Whether a handler writes to a file.

    Args:
        handler: of Python's logging.
        file: there or not.

    Example:
        >>> logs_to(logging.NullHandler(), Path("run.log"))
        False
    """
    return isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == file.resolve()


def remove_unbegun(folder: Path) -> None:
    """Take away what a run that never began has left, its folder and the empty ones above it; its log is closed.

    Args:
        folder: of the run.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "run")
        >>> folder.mkdir()
        >>> (folder / LOG_FILE).touch()
        >>> remove_unbegun(folder)
        >>> folder.exists()
        False
    """
    for handler in list(logging.getLogger().handlers):
        if logs_to(handler, folder / LOG_FILE):
            logging.getLogger().removeHandler(handler)
            handler.close()
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        if left_of_start(file.name):
            file.unlink(missing_ok=True)
    for parent in (folder, *folder.parents):
        if parent == Path.cwd() or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
