"""One's own images: a folder a class."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions
from oponm.data.sources.base import Part, Source
from oponm.data.sources.class_folders import find_splits, list_images, meant_below, subfolders
from oponm.data.sources.file_names import FileNames
from oponm.data.sources.reading import ON_ERROR, FileReader, PackOptions
from oponm.errors import InputError, check_choice, check_flag, check_int, check_path, check_real
from oponm.longtail import stratified_split

log = logging.getLogger(__name__)


class ImageFolderLT(LongTailDataModule):
    """Images in class folders, taken as they are or long-tailed on purpose.

    One of these, each with the same classes in all its parts:

    * ``root/train/<class>/*``, ``root/val/<class>/*`` and ``root/test/<class>/*``: ``val="split"`` then validates on
      the images of ``val``, all of them, and holds nothing out of ``train``;
    * ``root/train/<class>/*`` with ``root/test/<class>/*`` or with ``root/val/<class>/*``, which is the test set;
    * ``root/<class>/*``, from which a stratified test set is held out.

    ``training``, ``valid``, ``validation``, ``dev`` and ``testing`` are understood too, in any case. What is hidden and
    what systems leave behind (``@eaDir``, ``__MACOSX``) is passed over; links are followed inside ``root``.

    Images are decoded once, at one size, and kept in memory, unless ``in_memory=False``.

    Args:
        root: the folder.
        image_size: side of the square images in pixels; None for the median short side of a sample, 224 at most.
        test_fraction: share of each class held out where there is no test folder.
        on_error: ``"raise"`` names a file that cannot be read and stops; ``"skip"`` leaves it out and lists it.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        pack_size: short side of the images in the pack, at most, for ``in_memory=False``; None for their own size.
            Images kept in memory are packed at ``image_size``.
        pixel_max: the value that is white in images of more than 8 bits (16-bit grey, 32-bit TIFF, floats); None takes
            it from a sample of the training images, see :func:`~oponm.data.decode.white`.
        nested: True takes ``root/<class>/*`` also where every class folder holds nothing but folders; else that is
            refused as a root one level too high.
        **options: see :class:`~oponm.data.LongTailDataModule`; ``imbalance_ratio=None`` takes the images as they are.

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
        image_size: int | None = None,
        test_fraction: float = 0.2,
        on_error: str = "raise",
        pack: str | Path | None = None,
        pack_size: int | None = 256,
        pixel_max: float | None = None,
        nested: bool = False,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.root = check_path("root", root)
        self.image_size = None if image_size is None else check_int("image_size", image_size, minimum=4)
        self.test_fraction = check_real("test_fraction", test_fraction, 0, 1)
        if test_fraction in (0, 1):
            raise InputError(f"must lie between 0 and 1, got {test_fraction}", "test_fraction")
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack = PackOptions.checked(pack, self.root, self.in_memory, pack_size)
        self.pixel_max = None if pixel_max is None else check_real("pixel_max", pixel_max, 1, 65535)
        self.nested = check_flag("nested", nested)

    def load_source(self) -> Source:
        """List the files; nothing but the headers of a sample is read yet."""
        if not self.root.is_dir():
            raise InputError(f"names no folder: {self.root}", "root")
        reader = FileReader(self.on_error, pack=self.pack, pixel_max=self.pixel_max)
        parts, others = find_splits(self.root)
        if not parts:
            return self._split_here(reader)
        if len(parts) == 1:
            train = parts["train"].name
            raise InputError(f"{self.root} has a folder {train} but neither test nor val: add one", "root")
        for folder in others:
            log.warning("%s is not used: beside %s it is no split", folder, ", ".join(map(_name, parts.values())))
        names = _class_names(parts["train"])
        for role, folder in parts.items():
            self._compare(names, parts["train"], folder, role)
        listed = {
            role: self._list_files(folder, names, reader, may_miss=role != "train") for role, folder in parts.items()
        }
        if "test" not in parts:
            log.info("%s: there is no folder test, so %s is the test set", self.root, parts["val"].name)
            listed["test"] = listed.pop("val")
        elif "val" in parts and self.val != "split":
            used = (self.root, parts["val"].name, self.val)
            log.info("%s: the folder %s is not used by data.val=%s, but by data.val=split", *used)
        reader.finish_listing()
        origin = "own folder" if "val" in listed else ""
        return reader.source(names, self.image_size, listed["train"], listed["test"], listed.get("val"), origin)

    def _compare(self, names: list[str], train: Path, folder: Path, role: str) -> None:
        """Refuse a split of other classes; some may be missing where ``on_missing_class`` allows it."""
        found = _class_names(folder, least=2 if self.on_missing_class == "raise" else 1)
        differing = sorted(set(names) ^ set(found))
        if differing and (set(found) - set(names) or self.on_missing_class == "raise"):
            remedy = "" if set(found) - set(names) else "; data.on_missing_class=warn takes it as it is"
            which = ", ".join(differing[:5])
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
        files, labels = self._list_files(self.root, names, reader)
        reader.finish_listing()
        self._check_share(names, np.bincount(labels).tolist())
        kept, out = stratified_split(labels, self.test_fraction, seed=0)
        train, test = (Part(files[part], labels[part]) for part in (kept, out))
        return reader.source(names, self.image_size, train, test)

    def _list_files(self, folder: Path, names: list[str], reader: FileReader, may_miss: bool = False) -> Part:
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(names):
            images, others = list_images(folder / name, self.root)
            for other in others:
                reader.refuse_listed(InputError(f"{other}: is no image; remove it, or set data.on_error=skip"))
            if not images and not (may_miss and self.on_missing_class == "warn"):
                remedy = "set data.on_missing_class=warn" if may_miss else "remove it"
                raise InputError(f"{folder / name}: holds no image; fill the class folder, or {remedy}")
            files += images
            labels += [label] * len(images)
        return Part(FileNames.of(files), np.array(labels, dtype=np.int64))

    def order_classes(self, available: list[int]) -> list[int]:
        """Classes from head to tail: most to fewest images, so that a skewed folder keeps its head."""
        return sorted(range(len(available)), key=lambda label: (-available[label], label))

    def _check_share(self, names: list[str], counts: list[int]) -> None:
        for name, count in zip(names, counts, strict=True):
            if count < 2:
                raise InputError(f"{self.root / name}: holds a single image; testing needs at least one more")
            if round(self.test_fraction * count) >= count:
                raise InputError(
                    f"of {self.test_fraction} leaves class {name} with {count} images nothing to train on: lower it",
                    "test_fraction",
                )


def _class_names(folder: Path, least: int = 2) -> list[str]:
    names = [path.name for path in subfolders(folder)]
    if len(names) < least:
        found = f"only one, {names[0]}" if names else "none"
        raise InputError(f"{folder} must hold a folder for each of at least two classes, found {found}", "root")
    if odd := [name for name in names if not name.isprintable()]:
        raise InputError(f"{folder} has a class folder whose name cannot be printed: {odd[0]!a}; rename it", "root")
    return names


def _name(path: Path) -> str:
    return path.name
