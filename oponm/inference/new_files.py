"""Writes files whole or not at all; existing files are replaced only on request."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from oponm.errors import InputError


@contextmanager
def new_files(paths: Sequence[Path], overwrite: bool = False) -> Iterator[list[Path]]:
    """Give temporary paths to write to; the files are moved to their places, in order, if no error was raised.

    Args:
        paths: files to write; missing folders are made at the end. A file that is written beside one of them, with its
            name and ``.data``, is moved with it.
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
