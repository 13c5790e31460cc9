"""Divides your own images, from folders, a table or the hub, into training, validation and test set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from oponm.data.decode import RESIZES, Form, Size
from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions, check_channels, check_size
from oponm.data.sources.base import Part, Source
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.reading import ON_ERROR, FileReader, check_pack
from oponm.data.split import fold_split, grouped_split
from oponm.data.split_file import PARTS, UNUSED, image_names, read_split
from oponm.errors import InputError, check_choice, check_int, check_path, check_real, first_of
from oponm.longtail import head_to_tail, stratified_split

Indices = npt.NDArray[np.int64]


class OwnFilesLT(LongTailDataModule):
    """Base class of :class:`~oponm.data.ImageFolderLT`, :class:`~oponm.data.TableLT` and ``HuggingFaceLT``.

    It divides your own images into training, validation and test set.

    Args:
        root: the folder of the images.
        image_size: side of the square images in pixels, or (height, width); None for the median short side of a sample,
            224 at most.
        test_fraction: share of each class to hold out for testing, in [0, 1), if the data set does not name the test
            images; with 0 none are held out, and the run has no test metrics.
        folds: k of stratified k-fold cross-validation over all images, if the data set does not name the part of any
            image; one of the folds is the test set. None: no cross-validation, ``test_fraction`` is held out.
        fold: index of the fold that is the test set, from 0 to ``folds - 1``; None without ``folds``.
        groups: a regular expression that is searched for in each image's path, relative to ``root``. What its first
            pair of parentheses matches (a patient, a video) names the image's group, and no group is in two parts.
            ``test_fraction`` and ``val_size`` are then met only approximately. None: no groups, unless a
            column of the table names them.
        split: a CSV file with the columns ``path`` (relative to ``root``) and ``part`` (``train``, ``val``, ``test`` or
            ``none``), such as a run's ``split.csv``; it must name every image. None: no such file.
        on_error: reaction to files that cannot be read: ``"raise"`` raises an error that names them; ``"skip"`` leaves
            them out and lists them.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        pack_size: maximum short side in pixels of the images in the pack, for ``in_memory=False``; None keeps their
            own size. For ``in_memory=True``, images are packed at ``image_size``.
        pixel_max: the value that counts as white in images of more than 8 bits (16-bit gray, 32-bit TIFF, floats), from
            1 to 65535; None takes it from a sample of the training images, see :func:`~oponm.data.decode.white`.
        resize: how images of another shape are brought to ``image_size``: ``"crop"`` scales them until they cover it
            and cuts the center; ``"stretch"`` scales height and width separately; ``"pad"`` scales them until they fit,
            and fills the rest with the image's own mean color.
        channels: 3, or 1 for gray images (the luma of colored ones).
        **options: see :class:`~oponm.data.LongTailDataModule`; ``imbalance_ratio=None`` takes the images as they are.

    Raises:
        InputError: for a value out of range, or for two keys that both define the test set.
    """

    def __init__(
        self,
        root: str | Path,
        image_size: int | Sequence[int] | None = None,
        test_fraction: float = 0.2,
        folds: int | None = None,
        fold: int | None = None,
        groups: str | None = None,
        split: str | Path | None = None,
        on_error: str = "raise",
        pack: str | Path | None = None,
        pack_size: int | None = 256,
        pixel_max: float | None = None,
        resize: str = "crop",
        channels: int = 3,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.root = check_path("root", root)
        self.image_size: Size | None = None if image_size is None else check_size("image_size", image_size)
        self.resize, self.channels = check_choice("resize", resize, RESIZES), check_channels(channels)
        self.test_fraction = check_real("test_fraction", test_fraction, 0, 1)
        if test_fraction == 1:
            raise InputError(f"must lie between 0 and 1, got {test_fraction}", "test_fraction")
        self.folds, self.fold = _check_folds(folds, fold)
        if folds is not None and test_fraction == 0:
            raise InputError("is 0, but data.folds makes a fold the test set: leave one of them out", "test_fraction")
        self.groups = None if groups is None else _check_pattern(groups)
        self.split = None if split is None else check_path("split", split)
        if self.split is not None and folds is not None:
            raise InputError(f"divides the images, but so does data.split={self.split}: leave one of them out", "folds")
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack, self.pack_size = check_pack(pack, pack_size)
        self.pixel_max = None if pixel_max is None else check_real("pixel_max", pixel_max, 1, 65535)

    def order_classes(self, available: list[int]) -> list[int]:
        """Return the labels from head to tail: most to fewest images, so that a skewed set keeps its head."""
        return head_to_tail(available)

    def reader(self) -> FileReader:
        """Return the reader that decodes the files."""
        return FileReader(self, Form(self.image_size, self.pixel_max, self.resize, self.channels))

    def divide(
        self,
        reader: FileReader,
        names: list[str],
        images: Part,
        roles: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> Source:
        """Divide the images into parts: as the data set or ``split`` names them, or by holding out test images.

        Args:
            reader: decodes the files.
            names: class names in label order.
            images: files and labels of all images.
            roles: the part that the data set names for each image, ``"train"``, ``"val"``, ``"test"`` or ``"none"``;
                None if it names none.
            groups: the group that the data set names for each image; None for no groups, or for those that the regular
                expression ``groups`` finds.

        Raises:
            InputError: if a class has too few images, a group is in two parts, or no image is in the part ``"train"``;
                if a path does not match ``groups``; or if ``split`` does not name exactly these images.
        """
        files, labels = FileNames.of(images.files), images.labels
        named_by_path = (self.split, self.groups, self.folds, groups) != (None,) * 4
        paths = image_names([Part(files, labels)], self.root) if named_by_path else []
        if self.split is not None:
            roles = _roles_of(paths, read_split(self.split), self.split)
        numbers = self._groups(paths, groups)
        cross_validation: dict[str, Any] | None = None
        if roles is not None:
            if self.folds is not None:
                fault = "divides all images, but some have a part already: leave data.folds or the parts out"
                raise InputError(fault, "folds")
            members = _members(roles)
            _check_apart(members, numbers, paths, self._group_names)
        else:
            members = self._hold_out(names, labels, numbers)
            if self.folds is not None:
                digest = _digest(paths, labels, files)
                cross_validation = {"folds": self.folds, "fold": self.fold, "digest": digest}
        parts = {part: Part(files[own], labels[own]) for part, own in members.items()}
        origin = "own images" if "val" in parts else ""
        source = reader.source(names, parts["train"], parts.get("test"), parts.get("val"), origin)
        of_train = None if numbers is None else numbers[members["train"]]
        return replace(source, groups=of_train, cross_validation=cross_validation)

    def _groups(self, paths: list[str], given: Sequence[str] | None) -> Indices | None:
        """Return the number of each image's group; None without groups."""
        if given is None:
            if self.groups is None:
                return None
            matches = [re.search(self.groups, path) for path in paths]
            for path, match in zip(paths, matches, strict=True):
                if match is None or match[1] is None:
                    raise InputError(f"{path}: does not match data.groups={self.groups}; correct one of them", None)
            given = [match[1] for match in matches if match]
        self._group_names, numbers = np.unique(np.array(given, dtype=object).astype(str), return_inverse=True)
        return np.asarray(numbers, dtype=np.int64)

    _group_names: npt.NDArray[np.str_] = np.array([], dtype=str)

    def _hold_out(self, names: list[str], labels: Indices, groups: Indices | None) -> dict[str, Indices]:
        seed = self.split_seed or 0
        if self.folds is not None:
            assert self.fold is not None
            kept, out = fold_split(labels, self.folds, self.fold, seed, groups)
        elif not self.test_fraction:
            return {"train": np.arange(len(labels))}
        elif groups is not None:
            kept, out = grouped_split(labels, groups, self.test_fraction, seed)
        else:
            self._check_share(names, np.bincount(labels).tolist())
            kept, out = stratified_split(labels, self.test_fraction, seed)
        return {"train": kept, "test": out}

    def _check_share(self, names: list[str], counts: list[int]) -> None:
        for name, count in zip(names, counts, strict=True):
            if count < 2:
                raise InputError(f"{self.root / name}: holds a single image; testing needs at least one more")
            if round(self.test_fraction * count) >= count:
                raise InputError(
                    f"of {self.test_fraction} holds out all {count} images of class {name}: lower it",
                    "test_fraction",
                )


def _check_folds(folds: int | None, fold: int | None) -> tuple[int | None, int | None]:
    if folds is None and fold is None:
        return None, None
    if folds is None:
        raise InputError("must be given with data.fold: the number of folds, such as data.folds=5", "folds")
    if fold is None:
        raise InputError(f"must be given with data.folds, from 0 to {check_int('folds', folds, 2) - 1}", "fold")
    if check_int("fold", fold, minimum=0) >= check_int("folds", folds, minimum=2):
        raise InputError(f"must be from 0 to {folds - 1} for data.folds={folds}, got {fold}", "fold")
    return folds, fold


def _check_pattern(pattern: str) -> str:
    try:
        number = re.compile(pattern).groups
    except (re.error, TypeError) as error:
        raise InputError(f"is no regular expression ({error}): correct it, got {pattern!r}", "data.groups") from error
    if not number:
        raise InputError(f"must have a group in parentheses, as in '(patient[0-9]+)_', got {pattern!r}", "data.groups")
    return pattern


def _roles_of(paths: list[str], parts: dict[str, str], file: Path) -> list[str]:
    """Return the part of each image from a split file, which must name exactly these images."""
    if unknown := sorted(parts.keys() - set(paths)):
        raise InputError(f"{file} names {first_of(unknown)}: no such image below data.root; correct the file", "split")
    if missing := [path for path in paths if path not in parts]:
        raise InputError(
            f"{file} does not name {first_of(missing)}, which data.root holds: add a line for each; part none leaves "
            "an image out",
            "split",
        )
    return [parts[path] for path in paths]


def _members(roles: Sequence[str]) -> dict[str, Indices]:
    """Return a dict from each part that has images to their indices."""
    listed = np.array(roles, dtype=object)
    found = {part: np.flatnonzero(listed == part) for part in PARTS}
    if not len(found["train"]):
        others = ", ".join(sorted(set(roles))) or UNUSED
        raise InputError(f"no image has the part train: give it to some instead of {others}")
    return {part: own for part, own in found.items() if len(own)}


def _check_apart(
    members: dict[str, Indices],
    groups: Indices | None,
    paths: list[str],
    names: npt.NDArray[np.str_],
) -> None:
    """Check that no group is in two parts."""
    if groups is None:
        return
    seen: dict[int, tuple[str, str]] = {}
    for part, own in members.items():
        for place in own.tolist():
            number = int(groups[place])
            first, path = seen.setdefault(number, (part, paths[place]))
            if first != part:
                raise InputError(
                    f"group {names[number]} is in {first} ({path}) and in {part} ({paths[place]}): move its images to "
                    "one part, or leave the groups out"
                )


def _digest(paths: list[str], labels: Indices, files: FileNames) -> str:
    """SHA-256 of paths, labels and lengths: the same for all folds of one set of images."""
    digest = hashlib.sha256()
    for path, label, stat in zip(paths, labels.tolist(), files.stats(), strict=True):
        length = -1 if stat is None else stat.length
        digest.update(f"{path}\t{label}\t{length}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def number_labels(labels: Sequence[str], known: Sequence[str] = ()) -> tuple[list[str], Indices]:
    """Return the class names, and the label of each image as an index into them.

    Args:
        labels: label of each image as text, (M,).
        known: class names that come first, in this order, without those that have no image. Other labels follow, sorted
            as numbers if all of them are whole numbers, else alphabetically.

    Example:
        >>> number_labels(["10", "9", "10"])
        (['9', '10'], array([1, 0, 1]))
    """
    present = set(labels)
    others = present.difference(known)
    whole = all(label.removeprefix("-").isdecimal() for label in others)
    names = [*(name for name in known if name in present), *sorted(others, key=int if whole else str)]
    number = {name: label for label, name in enumerate(names)}
    return names, np.array([number[label] for label in labels], dtype=np.int64)
