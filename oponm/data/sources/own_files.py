"""Your own image files, from folders or a table: which of them are for testing and validation."""

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
    """What :class:`~oponm.data.ImageFolderLT` and :class:`~oponm.data.TableLT` share.

    Args:
        root: the folder of the images.
        image_size: side of the square images in pixels, or (height, width); None for the median short side of a sample,
            224 at most.
        test_fraction: share of each class held out where no image is named for testing; 0 holds none out, and the run
            has no test figures.
        folds: k of stratified k-fold cross-validation over all images, where none is named for testing: the test set
            is one fold of them. None holds ``test_fraction`` out.
        fold: which fold is the test set, from 0 to ``folds - 1``.
        groups: a regular expression that is searched for in the path of each image, relative to ``root``: what its
            first group matches (a patient, a video) names the image's group, and no group is in two parts. Shares are
            then met approximately.
        split: a CSV file with the columns ``path`` (relative to ``root``) and ``part`` (``train``, ``val``, ``test`` or
            ``none``), such as a run's ``split.csv``: which image is in which part. It names every image.
        on_error: ``"raise"`` names a file that cannot be read and stops; ``"skip"`` leaves it out and lists it.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        pack_size: short side of the images in the pack, at most, for ``in_memory=False``; None for their own size.
            Images kept in memory are packed at ``image_size``.
        pixel_max: the value that is white in images of more than 8 bits (16-bit gray, 32-bit TIFF, floats); None takes
            it from a sample of the training images, see :func:`~oponm.data.decode.white`.
        resize: how images of another shape come to ``image_size``: ``"crop"`` scales them until they cover it and
            cuts the center; ``"stretch"`` scales height and width separately; ``"pad"`` scales them until they fit, and
            fills the rest with the image's own mean color.
        channels: 3, or 1 for gray images (the luma of colored ones).
        **options: see :class:`~oponm.data.LongTailDataModule`; ``imbalance_ratio=None`` takes the images as they are.

    Raises:
        InputError: for a value out of range, or for two settings that both say what tests.
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
            raise InputError("is 0, and data.folds tests on a fold: leave one of them out", "test_fraction")
        self.groups = None if groups is None else _check_pattern(groups)
        self.split = None if split is None else check_path("split", split)
        if self.split is not None and folds is not None:
            raise InputError(f"names the parts, as {self.split} does too: leave one of them out", "folds")
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack, self.pack_size = check_pack(pack, pack_size)
        self.pixel_max = None if pixel_max is None else check_real("pixel_max", pixel_max, 1, 65535)

    def order_classes(self, available: list[int]) -> list[int]:
        """Classes from head to tail: most to fewest images, so that a skewed set keeps its head."""
        return head_to_tail(available)

    def reader(self) -> FileReader:
        """What decodes the files."""
        return FileReader(self, Form(self.image_size, self.pixel_max, self.resize, self.channels))

    def divide(
        self,
        reader: FileReader,
        names: list[str],
        images: Part,
        roles: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> Source:
        """Hold images out for testing, as the settings say, or take the parts that images are named for.

        Args:
            reader: of the files.
            names: of the classes.
            images: all of them.
            roles: the part of each image, ``"train"``, ``"val"``, ``"test"`` or ``"none"``; None where ``split`` says
                it or images are held out.
            groups: the group of each image; None where they have none, or the expression ``groups`` says it.

        Raises:
            InputError: for a class, a group or a split that the images do not allow.
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
                raise InputError("divides all images, and some are named for a part: leave one of them out", "folds")
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
        """The number of each image's group."""
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
                    f"of {self.test_fraction} leaves class {name} with {count} images nothing to train on: lower it",
                    "test_fraction",
                )


def _check_folds(folds: int | None, fold: int | None) -> tuple[int | None, int | None]:
    if folds is None and fold is None:
        return None, None
    if folds is None:
        raise InputError("must be given beside data.fold, the number of folds: data.folds=5", "folds")
    if fold is None:
        raise InputError(f"must be given beside data.folds, from 0 to {check_int('folds', folds, 2) - 1}", "fold")
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
    """The part of each image by a split file that names these and no others."""
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
    """Indices of the images of each part that has some."""
    listed = np.array(roles, dtype=object)
    found = {part: np.flatnonzero(listed == part) for part in PARTS}
    if not len(found["train"]):
        others = ", ".join(sorted(set(roles))) or UNUSED
        raise InputError(f"there is no image to train on: name some for the part train, not for {others}")
    return {part: own for part, own in found.items() if len(own)}


def _check_apart(
    members: dict[str, Indices],
    groups: Indices | None,
    paths: list[str],
    names: npt.NDArray[np.str_],
) -> None:
    """See that no group is in two parts."""
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
    """Class names, and labels as numbers of them.

    Args:
        labels: of the images, (M,).
        known: names in order, of which those without an image are left out; other labels follow in order of numbers
            where all of these are whole numbers, else of the alphabet.

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
