"""Writes and reads ``split.csv``, which names the part of each image: training, validation, test or none."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oponm.data.sources.base import Part
from oponm.data.sources.file_names import FileNames
from oponm.errors import InputError
from oponm.run_files import SPLIT_FILE, whole_csv

PARTS = ("train", "val", "test")
UNUSED = "none"


def write_split(folder: Path, data: Any) -> None:
    """Write ``split.csv`` atomically: the columns ``path`` or ``index``, ``class`` and ``part``, one row per image.

    Parts are ``train``, ``val`` and ``test``, and ``none`` for the other images: not drawn, or left out.

    Args:
        folder: folder of the run; must exist.
        data: a data module, set up.

    Example:
        >>> import tempfile
        >>> from oponm.data import DigitsLT
        >>> data, folder = DigitsLT(imbalance_ratio=50), Path(tempfile.mkdtemp())
        >>> data.setup()
        >>> write_split(folder, data)
        >>> lines = (folder / "split.csv").read_text().split()
        >>> lines[0], sum(line.endswith(",test") for line in lines)
        ('index,class,part', 500)
    """
    listed = [(part, each) for part, several in data.listed.items() for each in several]
    with whole_csv(folder / SPLIT_FILE) as writer:
        writer.writerow([kind_of_names(each for _, each in listed), "class", "part"])
        for part, each in listed:
            for name, label in zip(image_names([each], root_of(data)), each.labels.tolist(), strict=True):
                writer.writerow([name, data.class_names[label], part])


def read_split(file: Path) -> dict[str, str]:
    r"""Read a ``split.csv``: return a dict from the path of each image to its part.

    Args:
        file: CSV with the columns ``path`` and ``part``, and any others.

    Raises:
        InputError: naming the file, for a missing column; naming file and line, for an unknown part, or for a path that
            occurs twice.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "split.csv")
        >>> _ = file.write_text("path,part\ncat/1.jpg,train\ncat/2.jpg,test\n")
        >>> read_split(file)
        {'cat/1.jpg': 'train', 'cat/2.jpg': 'test'}
    """
    parts: dict[str, str] = {}
    for line, row in read_rows(file, ("path", "part"), "split"):
        if row["part"] not in (*PARTS, UNUSED):
            raise InputError(f"{file}, line {line}: part must be train, val, test or none, got {row['part']!r}")
        if row["path"] in parts:
            raise InputError(f"{file}, line {line}: names {row['path']} a second time; remove one of the lines")
        parts[row["path"]] = row["part"]
    return parts


def read_rows(file: Path, columns: Iterable[str], key: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with a header: the line number of each, and a dict from column to cell.

    Args:
        file: the CSV file, in UTF-8.
        columns: names of the columns that the file must have.
        key: config key that names the file, for errors.

    Raises:
        InputError: naming the file, if it cannot be read, or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            reader = csv.DictReader(opened, restval="")
            found = reader.fieldnames or []
            if missing := [column for column in columns if column not in found]:
                if not found:
                    raise InputError(f"{file} is empty: its first line must name the columns", key)
                apart = "separate them by commas" if any(";" in name for name in found) else "the first line names them"
                raise InputError(f"{file} has no column {missing[0]}, only {', '.join(found)}: {apart}", key)
            for row in reader:
                yield reader.line_num, {name: value for name, value in row.items() if name is not None}
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read ({reason}): name a CSV file", key) from error


def kind_of_names(listed: Iterable[Part]) -> str:
    """Return the title of the column of names: ``"path"``, or ``"index"`` for images that are not in files."""
    return "path" if any(isinstance(each.files, FileNames) for each in listed) else "index"


def root_of(data: Any) -> Path | None:
    """Return the folder that the paths of a data module's images are relative to; None if it has no such folder."""
    root = getattr(data, "root", None)
    return None if root is None else Path(root)


def image_names(listed: Iterable[Part], root: Path | None) -> list[str]:
    """Return the names of images as text: paths relative to a folder, or indices.

    Args:
        listed: the images, in one or several lists.
        root: the folder; a path that does not lie below it stays as it is. None leaves all paths as they are.

    Example:
        >>> import numpy as np
        >>> files = FileNames.of([Path("photos/cat/1.jpg")])
        >>> image_names([Part(files, np.zeros(1))], Path("photos"))
        ['cat/1.jpg']
    """
    above = "" if root is None or str(root) == "." else str(root).rstrip(os.sep) + os.sep
    names: list[str] = []
    for each in listed:
        if isinstance(each.files, FileNames):
            names += [name.removeprefix(above) for name in each.files.strings()]
        else:
            names += map(str, each.files.tolist())
    return names
