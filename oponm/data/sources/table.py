"""Your own images: a table of paths and labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from oponm.data.options import FileOptions
from oponm.data.sources.base import Part, Source
from oponm.data.sources.file_lists import check_relative
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.own_files import OwnFilesLT, number_labels
from oponm.data.split_file import PARTS, UNUSED, read_rows
from oponm.errors import InputError, check_path, first_of

Row = tuple[str, Mapping[str, Any]]  # where it stands, for errors, and its cells


class TableLT(OwnFilesLT):
    """Images and labels that a table lists; in all other respects like :class:`~oponm.data.ImageFolderLT`.

    Class names are the labels, sorted as numbers if all are whole numbers, else alphabetically.

    Args:
        table: path of a CSV file with a header; or, in Python, a pandas ``DataFrame``, or rows as mappings from column
            to cell.
        root: the folder that paths are relative to; no path may lie outside it. None is the folder of the CSV file, or
            the current folder if ``table`` is not a file.
        image_size: side of the square images in pixels, or (height, width); None for the median short side of a sample,
            224 at most.
        path_column: name of the column of paths.
        label_column: name of the column of labels.
        split_column: name of the column of parts (``train``, ``val``, ``test`` or ``none``). The table need not have a
            column ``split``: test images are then held out.
        group_column: name of the column with the group of each image, such as the patient; no group is in two parts.
            The table need not have a column ``group``: there are then no groups.
        **options: see :class:`~oponm.data.sources.own_files.OwnFilesLT` and :class:`~oponm.data.LongTailDataModule`.

    Raises:
        InputError: from :meth:`setup`, naming the row, for a path that is missing, named twice or outside ``root``, for
            an empty label, an unknown part, or a missing column.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for i in range(10):
        ...     Image.new("RGB", (8, 8)).save(root / f"{i}.png")
        >>> rows = [{"path": f"{i}.png", "label": "cat" if i < 5 else "dog"} for i in range(10)]
        >>> data = TableLT(rows, root)
        >>> data.setup()
        >>> data.class_names, data.class_counts, data.test_counts
        (['cat', 'dog'], [4, 4], [1, 1])
    """

    def __init__(
        self,
        table: Any,
        root: str | Path | None = None,
        image_size: int | Sequence[int] | None = None,
        path_column: str = "path",
        label_column: str = "label",
        split_column: str = "split",
        group_column: str = "group",
        **options: Unpack[FileOptions],
    ) -> None:
        in_file = isinstance(table, str | Path)
        self.table = check_path("table", table) if in_file else None
        above = self.table.parent if self.table else Path()
        super().__init__(above if root is None else root, image_size, **options)
        self._rows: list[Row] = [] if in_file else list(_numbered(table))
        self.path_column, self.label_column = path_column, label_column
        self.split_column, self.group_column = split_column, group_column

    def load_source(self) -> Source:
        """Read the table, and check that its images exist; none is decoded yet."""
        if not self.root.is_dir():
            raise InputError(f"is not a folder: {self.root}", "root")
        rows = self._rows if self.table is None else list(self._read())
        if not rows:
            raise InputError(f"names no image: {self.table or 'the table'} has no rows; add one per image", "table")
        columns = rows[0][1].keys()
        for key, default in (("split_column", "split"), ("group_column", "group")):
            if (name := getattr(self, key)) not in columns and name != default:
                found = ", ".join(map(str, columns))
                raise InputError(f"is {name!r}, but the table has only the columns {found}", key)
        labels, paths = self._cells(rows, "label_column"), self._paths(rows)
        files = FileNames.of(map(Path, paths), self.root)
        if missing := [path for path, file in zip(paths, files.strings(), strict=True) if not os.path.isfile(file)]:
            fault = f"{len(missing)} of {len(paths)} images are missing below {self.root}: {first_of(missing)}"
            raise InputError(f"{fault}; correct the table, or set data.root")
        names, numbers = number_labels(labels)
        if len(names) < 2:
            raise InputError(f"has a single label, {names[0]!r}: at least two classes are needed", "table")
        return self.divide(self.reader(), names, Part(files, numbers), self._roles(rows), self._given_groups(rows))

    def _read(self) -> Iterator[Row]:
        assert self.table is not None
        for line, row in read_rows(self.table, (self.path_column, self.label_column), "table"):
            yield f"{self.table}, line {line}", row

    def _cells(self, rows: list[Row], key: str) -> list[str]:
        """Return the cells of a column; an empty one is an error."""
        column, found = getattr(self, key), []
        for where, row in rows:
            if column not in row:
                raise InputError(f"is {column!r}, but {where} has only ({', '.join(map(str, row))})", key)
            if not (cell := _text(row[column])):
                raise InputError(f"{where}: has no {column}; fill it in, or remove the row")
            if key != "path_column" and cell.encode("utf-8", "ignore").decode() != cell:  # paths may have any bytes
                raise InputError(f"{where}: {column} {cell!r} is no text in UTF-8; save the table as UTF-8")
            found.append(cell)
        return found

    def _paths(self, rows: list[Row]) -> list[str]:
        paths, seen = self._cells(rows, "path_column"), set[str]()
        inside = check_relative(self.root)
        for (where, _), path in zip(rows, paths, strict=True):
            try:
                inside(path)
            except InputError as error:
                raise InputError(f"{where}: {error.message}") from error
            if path in seen:
                raise InputError(f"{where}: names {path} a second time; remove one of the rows")
            seen.add(path)
        return paths

    def _roles(self, rows: list[Row]) -> list[str] | None:
        if self.split_column not in rows[0][1]:
            return None
        roles = self._cells(rows, "split_column")
        for (where, _), role in zip(rows, roles, strict=True):
            if role not in (*PARTS, UNUSED):
                raise InputError(f"{where}: {self.split_column} must be train, val, test or none, got {role!r}")
        if self.split is not None:
            fault = f"divides the images, but so does the column {self.split_column}: leave one of them out"
            raise InputError(fault, "split")
        return roles

    def _given_groups(self, rows: list[Row]) -> list[str] | None:
        return self._cells(rows, "group_column") if self.group_column in rows[0][1] and self.groups is None else None


def _numbered(table: Any) -> Iterator[Row]:
    """Yield the rows of a table in memory, each with its number for errors."""
    rows = table.to_dict("records") if hasattr(table, "to_dict") and hasattr(table, "columns") else table
    if not isinstance(rows, Iterable) or isinstance(rows, Mapping | bytes):
        raise InputError(f"must be a CSV file, a DataFrame, or rows, got a {type(table).__name__}", "table")
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"must have rows that are mappings from columns to cells, got {row!r}", "table")
        yield f"row {number}", row


def _text(cell: Any) -> str:
    """Return a cell as text; empty for None and for NaN, which is pandas's empty cell."""
    return "" if cell is None or cell != cell else str(cell).strip()
