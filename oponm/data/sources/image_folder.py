"""Your own images: one folder for each class."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from oponm.data.decode import SKIP
from oponm.data.options import FileOptions
from oponm.data.sources.base import Part, Source
from oponm.data.sources.class_folders import find_splits, list_images, meant_below, subfolders
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.own_files import OwnFilesLT
from oponm.data.sources.reading import FileReader
from oponm.errors import InputError, check_flag

log = logging.getLogger(__name__)


class ImageFolderLT(OwnFilesLT):
    """Images in class folders, used as they are, or with a long tail drawn from them.

    The folder has one of these layouts, with the same classes in all its parts:

    * ``root/train/<class>/*``, ``root/val/<class>/*`` and ``root/test/<class>/*``: ``val="split"`` then validates on
      all images of ``val``, and holds nothing out of ``train``;
    * ``root/train/<class>/*`` with ``root/test/<class>/*`` or with ``root/val/<class>/*``, which is then the test set;
    * ``root/<class>/*``, from which a stratified test set is held out, or which the CSV file ``split`` divides.

    With ``test_fraction=0`` no test images are held out, and ``root/test`` may be missing: ``root/val`` is then the
    validation set, not the test set, and may be missing too.

    The names ``training``, ``valid``, ``validation``, ``dev`` and ``testing`` are understood too, in upper or lower
    case. Hidden folders and those of operating systems (``@eaDir``, ``__MACOSX``) are skipped. Symbolic links are
    followed if they stay inside ``root``.

    Images are decoded once, at one size, and kept in memory, unless ``in_memory=False``.

    Args:
        root: folder in one of the layouts above.
        image_size: side of the square images in pixels, or (height, width); None for the median short side of a sample,
            224 at most.
        nested: set True if class folders contain folders of images and no images themselves; by default this is an
            error, as ``root`` is then probably one level too high.
        **options: see :class:`~oponm.data.sources.own_files.OwnFilesLT`: ``test_fraction``, ``folds`` and ``fold``,
            ``groups``, ``split`` and others; and :class:`~oponm.data.LongTailDataModule`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name, number in (("cat", 10), ("dog", 5)):
        ...     (root / name).mkdir()
        ...     for i in range(number):
        ...         Image.new("RGB", (8, 8)).save(root / name / f"{i}.png")
        >>> data = ImageFolderLT(root)
        >>> data.setup()
        >>> data.class_names, data.class_counts, data.test_counts
        (['cat', 'dog'], [8, 4], [2, 1])
    """

    def __init__(
        self,
        root: str | Path,
        image_size: int | Sequence[int] | None = None,
        nested: bool = False,
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, image_size, **options)
        self.nested = check_flag("nested", nested)

    def load_source(self) -> Source:
        """List the files; nothing but the headers of a sample is read yet."""
        if not self.root.is_dir():
            raise InputError(f"is not a folder: {self.root}", "root")
        reader = self.reader()
        parts, others = find_splits(self.root)
        if not parts:
            return self._split_here(reader)
        named = ", ".join(folder.name for folder in parts.values())
        if key := "folds" if self.folds is not None else "split" if self.split is not None else None:
            fault = f"divides the images, but so do the folders {named}: leave it out, or take root/<class>/*"
            raise InputError(fault, key)
        if len(parts) == 1 and self.test_fraction:
            train, remedy = parts["train"].name, "add one, or set data.test_fraction=0 to train without a test set"
            raise InputError(f"{self.root} has a folder {train} but neither test nor val: {remedy}", "root")
        for folder in others:
            log.warning("%s is not used: beside %s it is no split", folder, named)
        names = _class_names(parts["train"])
        for role, folder in parts.items():
            self._compare(names, parts["train"], folder, role)
        refused: list[InputError] = []
        listed = {role: self._list_files(folder, names, refused, role != "train") for role, folder in parts.items()}
        reader.refuse(*refused)
        facts = {}
        if "test" not in parts and self.test_fraction:
            log.info("%s: there is no folder test, so %s is the test set", self.root, parts["val"].name)
            listed["test"] = listed.pop("val")
        elif "val" in parts and self.val != "split":
            unused = f"the folder {parts['val'].name} is not used by data.val={self.val}, but by data.val=split"
            log.info("%s: %s", self.root, unused)
            facts = {"folders": unused}
        files = FileNames.of(file for part in listed.values() for file in part.files)
        images = Part(files, np.concatenate([part.labels for part in listed.values()]))
        roles = [role for role, part in listed.items() for _ in part.files]
        source = self.divide(reader, names, images, roles)
        return replace(source, val_origin="own folder" if "val" in listed else "", facts=source.facts | facts)

    def _compare(self, names: list[str], train: Path, folder: Path, role: str) -> None:
        """Refuse a split of other classes than ``train``; some may be missing if ``on_missing_class`` is ``"warn"``."""
        found = _class_names(folder, least=2 if self.on_missing_class == "raise" else 1)
        differing = sorted(set(names) ^ set(found))
        if differing and (set(found) - set(names) or self.on_missing_class == "raise"):
            remedy = "" if set(found) - set(names) else "; data.on_missing_class=warn takes it as it is"
            lacks = [(train.name, set(found) - set(names)), (folder.name, set(names) - set(found))]
            which = "; ".join(f"{name} has no {', '.join(sorted(missing)[:5])}" for name, missing in lacks if missing)
            raise InputError(f"{self.root}: {train.name} and {folder.name} differ in classes: {which}{remedy}")

    def _split_here(self, reader: FileReader) -> Source:
        folders = subfolders(self.root)
        meant = None if self.nested else meant_below(self.root, folders)
        if meant is not None:
            more = "; data.nested=true takes them as classes" if len(folders) > 1 else ""
            raise InputError(
                f"{self.root} seems to be one level too high, as its folders hold folders of images: did you mean "
                f"{meant}?{more}",
                "root",
            )
        names = _class_names(self.root)
        refused: list[InputError] = []
        images = self._list_files(self.root, names, refused)
        reader.refuse(*refused)
        return self.divide(reader, names, images)

    def _list_files(self, folder: Path, names: list[str], refused: list[InputError], may_miss: bool = False) -> Part:
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(names):
            images, others = list_images(folder / name, self.root)
            refused += [InputError(f"{other}: is no image; remove it{SKIP}") for other in others]
            if not images and not (may_miss and self.on_missing_class == "warn"):
                remedy = "set data.on_missing_class=warn" if may_miss else "remove it"
                raise InputError(f"{folder / name}: holds no image; fill the class folder, or {remedy}")
            files += images
            labels += [label] * len(images)
        if not files:
            raise InputError(f"{folder}: holds no image in any class folder; add images, or remove {folder.name}")
        return Part(FileNames.of(files), np.array(labels, dtype=np.int64))


def _class_names(folder: Path, least: int = 2) -> list[str]:
    names = [path.name for path in subfolders(folder)]
    if len(names) < least:
        found = f"only one, {names[0]}" if names else "none"
        raise InputError(f"{folder} must hold a folder for each of at least two classes, found {found}", "root")
    if odd := [name for name in names if not name.isprintable()]:
        raise InputError(f"{folder} has a class folder whose name cannot be printed: {odd[0]!a}; rename it", "root")
    return names
