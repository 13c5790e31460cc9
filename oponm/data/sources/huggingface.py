"""Reads data sets of the Hugging Face hub, and local folders and Parquet files, by the ``datasets`` library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from typing_extensions import Unpack

from oponm.data.options import FileOptions
from oponm.data.progress import shows_bars
from oponm.data.sources.base import Part, Source
from oponm.data.sources.class_folders import ROLES
from oponm.data.sources.file_names import FileNames, Stat
from oponm.data.sources.own_files import OwnFilesLT, number_labels
from oponm.errors import InputError, check_path, first_of

log = logging.getLogger(__name__)
_BUILDERS = {".parquet": "parquet", ".arrow": "arrow"}  # of single files
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk writes
_UNLABELED = -1  # the label that test sets of the hub have where labels are kept secret
_BATCH = 1000
_ONE_AT_A_TIME = Lock()


class HuggingFaceLT(OwnFilesLT):
    """Any image classification set of the hub, taken as it is, or with a long tail drawn from it.

    Splits named ``train``, ``validation`` or ``test``, or by another name that :class:`~oponm.data.ImageFolderLT` takes
    for a folder, are the training, validation and test set. Without a test split, the validation split is the test set,
    unless ``test_fraction=0``. A single split has test images held out of it. Splits with other names or without
    labels are not used.

    Images stay in the library's memory-mapped Arrow files for ``in_memory=False``. The name of an image is its split
    and row, such as ``train/7``. Nothing that a data set contains is executed: from version 4 on, the library does not
    run dataset scripts.

    Args:
        path: a name on the hub, such as ``"cifar10"``; a folder that ``save_to_disk`` wrote; a folder of Parquet or
            Arrow files, or of images in a layout that the library loads (``imagefolder``); or a Parquet or Arrow file.
        config: name of the data set's configuration on the hub, if it has several; else None.
        revision: a branch, tag or commit of the hub; None takes the newest.
        image_column: name of the column of images.
        label_column: name of the column of labels: a ``ClassLabel``, text or whole numbers.
        group_column: name of the column with the group of each image, such as the patient; all images of a group are in
            the same part. None: no groups.
        image_size: side of the square images in pixels, or (height, width); None for the median short side of a sample,
            224 at most.
        **options: see :class:`~oponm.data.sources.own_files.OwnFilesLT`, without ``groups`` and ``pack``, which are for
            image files; and :class:`~oponm.data.LongTailDataModule`.

    Raises:
        InputError: from :meth:`setup`, if the library, the data set or one of the columns is missing.

    Example:
        >>> data = HuggingFaceLT("cifar10", image_column="img", imbalance_ratio=100)  # data.setup() downloads it
        >>> data.image_column
        'img'
    """

    def __init__(
        self,
        path: str | Path,
        config: str | None = None,
        revision: str | None = None,
        image_column: str = "image",
        label_column: str = "label",
        group_column: str | None = None,
        image_size: int | Sequence[int] | None = None,
        **options: Unpack[FileOptions],
    ) -> None:
        for key in ("groups", "pack"):
            if options.get(key) is not None:
                remedy = "name data.group_column" if key == "groups" else "Arrow files are read as they are"
                raise InputError(f"is only for data sets of image files: leave it out; {remedy}", key)
        super().__init__(Path(), image_size, **options)
        self.path, self.config, self.revision = check_path("path", path), config, revision
        self.image_column, self.label_column, self.group_column = image_column, label_column, group_column

    def load_source(self) -> Source:
        """Load the data set, which the library downloads if needed, and its labels; no image is decoded yet."""
        loaded = self._load()
        labels = {name: self._labels(split, name) for name, split in loaded.items()}
        chosen = self._choose(labels)
        splits = [ArrowSplit(name, loaded[name], self.image_column) for name in chosen]
        for name in chosen:
            _check_filled(name, labels[name], self.label_column)
        known = _class_names(loaded[next(iter(chosen))], self.label_column) or ()
        names, numbers = number_labels([str(label) for name in chosen for label in labels[name]], known)
        if len(names) < 2:
            raise InputError(
                f"has {len(names)} classes in {self.label_column}: at least two are needed", "label_column"
            )
        lengths = [len(labels[name]) for name in chosen]
        of, rows = np.repeat(np.arange(len(splits)), lengths), np.concatenate([np.arange(each) for each in lengths])
        images = Part(ArrowRows(splits, of, rows), numbers)
        roles = None
        if len(chosen) > 1:
            roles = [role for (_, role), length in zip(chosen.items(), lengths, strict=True) for _ in range(length)]
        source = self.divide(self.reader(), names, images, roles, self._given_groups(loaded, chosen))
        source.facts["data set"] = f"{self.path}, " + ", ".join(
            [*(f"{key} {value}" for key in ("config", "revision") if (value := getattr(self, key))), *chosen]
        )
        return source

    def _load(self) -> dict[str, Any]:
        """Load the splits, as a dict by name."""
        datasets = import_datasets()
        folder = self.path
        local = folder.exists()
        if local and (given := next((key for key in ("config", "revision") if getattr(self, key)), None)):
            raise InputError(f"is only for data sets of the hub, but {folder} is local: leave it out", given)
        if not local and (folder.is_absolute() or folder.parts[:1] in ((".",), ("..",))):
            raise InputError(f"names no file or folder: {folder}", "path")
        builder = _BUILDERS.get(folder.suffix.lower()) if folder.is_file() else None
        if folder.is_file() and builder is None:
            raise InputError(f"names a file that is neither Parquet nor Arrow: {folder}", "path")
        try:
            with _quiet(datasets):
                if local and any((folder / file).is_file() for file in _SAVED):
                    found = datasets.load_from_disk(str(folder))
                elif builder is not None:
                    found = datasets.load_dataset(builder, data_files=str(folder))
                else:
                    found = datasets.load_dataset(str(folder), self.config, revision=self.revision)
        except Exception as error:  # an error of the library, the hub or its HTTP client
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            remedy = "name a data set of the hub (and data.config, where it has several), a folder or a Parquet file"
            raise InputError(f"cannot be loaded: {folder} ({reason}); {remedy}", "path") from error
        return dict(found) if isinstance(found, dict) else {str(found.split or "train"): found}

    def _column(self, split: Any, name: str, key: str) -> Any:
        if (column := getattr(self, key)) not in split.column_names:
            found = ", ".join(split.column_names)
            raise InputError(f"is {column!r}, but split {name} has only the columns {found}", key)
        return split[column][:]

    def _labels(self, split: Any, name: str) -> list[str | None]:
        """Return the label of each row as text; None for a row without a label."""
        if self.image_column not in split.column_names:
            self._column(split, name, "image_column")
        cells = self._column(split, name, "label_column")
        if (names := _class_names(split, self.label_column)) is not None:
            return [None if cell in (None, _UNLABELED) else names[cell] for cell in cells]
        if odd := [cell for cell in cells if cell is not None and not isinstance(cell, str | int)]:
            fault = f"is {self.label_column!r}, but split {name} has cells such as {str(odd[0])[:40]!r} there"
            raise InputError(f"{fault}: labels are a ClassLabel, text or whole numbers", "label_column")
        return [None if cell is None or not str(cell).strip() else str(cell).strip() for cell in cells]

    def _choose(self, labels: Mapping[str, list[str | None]]) -> dict[str, str]:
        """Return the splits that are used, as a dict from name to part: ``"train"``, ``"val"`` or ``"test"``."""
        used: dict[str, str] = {}
        for name, own in labels.items():
            role = ROLES.get(name.lower())
            if len(labels) > 1 and own and not any(own):
                log.warning("split %s of %s is not used: its images have no label", name, self.path)
            elif len(labels) > 1 and role is None:
                log.warning("split %s of %s is not used: it is none of train, validation and test", name, self.path)
            elif role in used.values():
                raise InputError(f"{self.path} has two splits for {role}: {', '.join(labels)}", "path")
            else:
                used[name] = role or "train"
        if len(used) == 1:
            return dict.fromkeys(used, "train")
        if "train" not in used.values():
            raise InputError(f"{self.path} has no split train, but {', '.join(labels)}", "path")
        if "test" not in used.values() and self.test_fraction:
            log.info("%s has no split test, so its validation split is the test set", self.path)
            used = {name: "test" if role == "val" else role for name, role in used.items()}
        return used

    def _given_groups(self, loaded: Mapping[str, Any], chosen: Mapping[str, str]) -> list[str] | None:
        if self.group_column is None:
            return None
        groups = {name: self._column(loaded[name], name, "group_column") for name in chosen}
        for name, own in groups.items():
            _check_filled(name, own, self.group_column)
        return [str(cell) for own in groups.values() for cell in own]


class ArrowSplit:
    """The encoded images of a split, in memory-mapped Arrow files, which processes share.

    Args:
        name: name of the split.
        split: the split, a ``datasets.Dataset``.
        column: name of the column of images.

    Raises:
        InputError: for a column that holds no images.
    """

    def __init__(self, name: str, split: Any, column: str) -> None:
        datasets = import_datasets()
        self.name, self.column = name, column
        self._stats: list[Stat | None] | None = None
        try:
            with _quiet(datasets):
                self.encoded = split.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        except Exception as error:  # of Arrow
            fault = f"is {column!r}, which holds {split.features[column]} in {name}, no images"
            raise InputError(fault, "image_column") from error

    def read_bytes(self, row: int) -> bytes:
        """Return the encoded image of a row.

        Raises:
            OSError: if the row has no image, or the file that it names cannot be read.
        """
        cell = self.encoded[row][self.column]
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise FileNotFoundError("the row has no image")
        return Path(cell["path"]).read_bytes() if cell["bytes"] is None else cell["bytes"]

    def __getstate__(self) -> dict[str, Any]:
        # A process that receives the split maps its files itself, and reads only images.
        return self.__dict__ | {"_stats": None}

    @property
    def stats(self) -> list[Stat | None]:
        """Length in bytes of each encoded image, and modification time of the file that contains it; read once."""
        with _ONE_AT_A_TIME:
            if self._stats is None:
                self._stats = self._measure()
            return self._stats

    def _measure(self) -> list[Stat | None]:
        import pyarrow.compute as compute

        written = max((_mtime(each["filename"]) for each in self.encoded.cache_files), default=0)
        found: list[Stat | None] = []
        for batch in self.encoded.with_format("arrow").iter(_BATCH):
            for chunk in batch[self.column].chunks:
                lengths = compute.binary_length(compute.struct_field(chunk, "bytes")).to_pylist()
                paths = compute.struct_field(chunk, "path").to_pylist()
                for length, path in zip(lengths, paths, strict=True):
                    stored = None if length is None else Stat(length, written)
                    found.append(next(FileNames.of([Path(path)]).stats()) if stored is None and path else stored)
        return found


class ArrowRow(NamedTuple):
    """The encoded image in one row of a split; like a path, it has a method ``read_bytes``.

    Attributes:
        split: the split.
        row: zero-based row of the image in the split.
    """

    split: ArrowSplit
    row: int

    def __str__(self) -> str:
        return f"{self.split.name}/{self.row}"

    def read_bytes(self) -> bytes:
        """Return the encoded image, see :meth:`ArrowSplit.read_bytes`."""
        return self.split.read_bytes(self.row)


class ArrowRows(FileNames):
    """Images in rows of several splits, in place of paths.

    Args:
        splits: the splits.
        of: index into ``splits`` for each image, (N,), int64.
        rows: row of each image in its split, (N,), int64.
    """

    def __init__(self, splits: Sequence[ArrowSplit], of: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
        self.splits, self.of_split, self.rows = splits, of, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, int | np.integer):
            return ArrowRow(self.splits[int(self.of_split[which])], int(self.rows[which]))
        return ArrowRows(self.splits, self.of_split[which], self.rows[which])

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def strings(self) -> Iterator[str]:
        """Yield the split and row of each image as text, such as ``train/7``."""
        return map(str, self)

    def stats(self) -> Iterator[Stat | None]:
        """Yield the length and modification time of each image, see :attr:`ArrowSplit.stats`."""
        return (self.splits[of].stats[row] for of, row in zip(self.of_split.tolist(), self.rows.tolist(), strict=True))


def import_datasets() -> ModuleType:
    """Import the ``datasets`` library.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(f'data=huggingface needs {error.name}: pip install "oponm[huggingface]"') from error
    if not hasattr(datasets, "load_dataset"):  # a folder of this name where Python looks first
        raise InputError('data=huggingface needs datasets: pip install "oponm[huggingface]"')
    return datasets


def _class_names(split: Any, column: str) -> list[str] | None:
    """Return the names of a column's ``ClassLabel``; None for a column of another type."""
    return getattr(split.features[column], "names", None)


def _check_filled(name: str, cells: Sequence[Any], column: str) -> None:
    """Check that no row of a split has an empty cell in a column."""
    if empty := [f"{name}/{row}" for row, cell in enumerate(cells) if cell is None]:
        fault = f"{len(empty)} of {len(cells)} rows of {name} have no {column}: {first_of(empty)}"
        raise InputError(f"{fault}; remove these rows from the data set, or name another column")


def _mtime(file: str) -> int:
    stat = next(FileNames.of([Path(file)]).stats())
    return 0 if stat is None else stat.mtime_ns


@contextmanager
def _quiet(datasets: ModuleType) -> Iterator[None]:
    """Context manager that hides the library's progress bars unless standard error is a terminal."""
    enabled = datasets.are_progress_bars_disabled() is False
    hides = enabled and not shows_bars(Console(stderr=True))
    if hides:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hides:
            datasets.enable_progress_bars()
