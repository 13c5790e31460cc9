"""The names of the files in a run's folder, and functions that write them."""

import csv
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from oponm.errors import InputError

CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
CHOICES_FILE = "choices.yaml"
RESULT_FILE = "result.json"
LOG_FILE = "run.log"
LOCK_FILE = ".lock"
SPLIT_FILE = "split.csv"
PREDICTIONS_FILE = "test_predictions.csv"


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: a temporary file in the same folder is flushed to the disk and renamed.

    A file that already has this content is not written again.

    Args:
        path: the file; its folder must exist.
        text: content of the file, written in UTF-8.

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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically, by :func:`write_whole`.

    Args:
        path: the file; its folder must exist.
        content: dict of plain values to write.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "result.json")
        >>> write_json(file, {"accuracy": 0.5})
        >>> json.loads(file.read_text())
        {'accuracy': 0.5}
    """
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Context manager that yields a temporary file to write to, and renames it to ``path`` at the end of the block.

    The file is flushed to the disk first. After an error in the block, it is removed and ``path`` stays as it was.

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
    r"""Context manager that yields a CSV writer; the file is written atomically, by :func:`whole_file`, in UTF-8.

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


def checkpoint_of(path: Path) -> Path:
    """Return the file of weights that a path names; for a run's folder, its last checkpoint.

    Args:
        path: a file, a run's folder, or its folder of checkpoints.

    Example:
        >>> checkpoint_of(Path("nowhere/last.ckpt")).name
        'last.ckpt'
    """
    files = [path / "checkpoints/last.ckpt", path / "last.ckpt"]
    return next(filter(Path.is_file, files), path)


@contextmanager
def new_files(paths: Sequence[Path], overwrite: bool = False) -> Iterator[list[Path]]:
    """Context manager that yields temporary paths to write to, and moves the files to ``paths`` if no error is raised.

    Args:
        paths: files to write; missing folders are made at the end. If the block also writes a file with the name of one
            of them and ``.data`` appended, that file is moved too.
        overwrite: whether existing files are replaced.

    Raises:
        InputError: for a path that is a folder, or that exists if ``overwrite`` is false.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "new" / "hello.txt"
        >>> with new_files([target]) as (temporary,):
        ...     _ = temporary.write_text("hello")
        >>> target.read_text()
        'hello'
    """
    for path in paths:
        if path.is_dir():
            raise InputError(f"names a folder, {path}: name a file", "output")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists: choose another output, or set overwrite=true", "output")
    # On the file system of the target, so that moving a file is one step.
    beside = next(folder for folder in paths[0].absolute().parents if folder.is_dir())
    folder = Path(tempfile.mkdtemp(prefix=".oponm-", dir=beside))
    try:
        temporary = [folder / path.name for path in paths]
        yield temporary
        _move_data(folder, paths, overwrite)
        for source, path in zip(temporary, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_data(folder: Path, paths: Sequence[Path], overwrite: bool) -> None:
    """Move ``NAME.data`` beside ``NAME``; an old ``NAME.data`` without a new one is removed."""
    for path in paths:
        written, place = folder / f"{path.name}.data", path.with_name(f"{path.name}.data")
        if place.exists() and written.exists() and not overwrite:
            raise InputError(f"{place} exists: choose another output, or set overwrite=true", "output")
        if written.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            written.replace(place)
        elif path.exists():
            place.unlink(missing_ok=True)


def left_of_start(name: str) -> bool:
    """Whether a run that was killed before it wrote ``config.yaml`` may have left a file of this name in its folder.

    Args:
        name: name of the file, without folders.

    Example:
        >>> left_of_start("run.log"), left_of_start(".config.yaml.4711"), left_of_start("config.yaml")
        (True, True, False)
    """
    before = (OVERRIDES_FILE, CHOICES_FILE, SPLIT_FILE)
    return name in (LOG_FILE, LOCK_FILE, *before) or name.startswith(
        tuple(f".{one}." for one in (CONFIG_FILE, *before))
    )


def logs_to(handler: logging.Handler, file: Path) -> bool:
    """Whether a handler writes to a file.

    Args:
        handler: a handler of Python's logging.
        file: the file, which need not exist.

    Example:
        >>> logs_to(logging.NullHandler(), Path("run.log"))
        False
    """
    return isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == file.resolve()


def remove_unbegun(folder: Path) -> None:
    """Close the log of a run that never wrote ``config.yaml``, and remove its files, its folder and empty parents.

    A folder with other files stays.

    Args:
        folder: the run's folder; it need not exist.

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
    remove_empty(folder)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty, then each parent folder that is empty, up to the current folder.

    Args:
        folder: the first folder to remove; nothing is done if it does not exist.
    """
    for parent in (folder, *folder.parents):
        if parent == Path.cwd() or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
