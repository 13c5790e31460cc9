"""One's own images: a folder a class."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import Unpack

from oponm.data.file_names import FileNames
from oponm.data.module import DataOptions, LongTailDataModule
from oponm.data.reading import ON_ERROR, FileReader, PackOptions
from oponm.data.source import Files, Part, Source
from oponm.errors import InputError, check_choice, check_int, check_real
from oponm.longtail import stratified_split

log = logging.getLogger(__name__)
LARGEST_DEFAULT_SIZE = 224
_LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini"}


class ImageFolderLT(LongTailDataModule):
    """Images in class folders, taken as they are or long-tailed on purpose.

    One of these, each with the same classes in all its parts:

    * ``root/train/<class>/*``, ``root/val/<class>/*`` and ``root/test/<class>/*``: ``val="split"`` then validates on
      the images of ``val``, all of them, and holds nothing out of ``train``;
    * ``root/train/<class>/*`` with ``root/test/<class>/*`` or with ``root/val/<class>/*``, which is the test set;
    * ``root/<class>/*``, from which a stratified test set is held out.

    Images are decoded once, at one size, and kept in memory, unless ``in_memory=False``.

    Args:
        root: the folder.
        image_size: side of the square images in pixels; None for the short side of the first image, 224 at most.
        test_fraction: share of each class held out where there is no test folder.
        on_error: ``"raise"`` names a file that cannot be read and stops; ``"skip"`` leaves it out and lists it.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        pack_size: short side of the images in the pack, at most, for ``in_memory=False``; None for their own size.
            Images kept in memory are packed at ``image_size``.
        **options: see :class:`~oponm.data.LongTailDataModule`; ``imbalance_ratio=None`` takes the images as they are.

    Example:
        >>> import tempfile
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
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.root = Path(root).expanduser()
        self.image_size = None if image_size is None else check_int("image_size", image_size, minimum=4)
        self.test_fraction = check_real("test_fraction", test_fraction, 0, 1)
        if test_fraction in (0, 1):
            raise InputError(f"must lie between 0 and 1, got {test_fraction}", "test_fraction")
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack = PackOptions.checked(pack, self.root, self.in_memory, pack_size)

    def load_source(self) -> Source:
        """List the files; nothing but one image header is read yet."""
        if not self.root.is_dir():
            raise InputError(f"names no folder: {self.root}", "root")
        reader = FileReader(self.on_error, pack=self.pack)
        folders = {path.name.lower(): path for path in self.root.iterdir() if path.is_dir()}
        if "train" not in folders:
            return self._split_here(reader)
        parts = {name: folders[name] for name in ("train", "test", "val") if name in folders}
        if len(parts) == 1:
            raise InputError(f"{self.root} has a folder train but neither test nor val: add one", "root")
        names = _class_names(parts["train"])
        for folder in parts.values():
            if differing := sorted(set(names) ^ set(_class_names(folder))):
                raise InputError(f"{self.root}: train and {folder.name} differ in classes: {', '.join(differing[:5])}")
        listed = {name: _list_files(folder, names, reader) for name, folder in parts.items()}
        if "test" not in parts:
            log.info("%s: there is no folder test, so val is the test set", self.root)
            listed["test"] = listed.pop("val")
        elif "val" in parts and self.val != "split":
            log.info("%s: the folder val is not used by data.val=%s, but by data.val=split", self.root, self.val)
        size = self.image_size or _default_size(listed["train"].files)
        origin = "own folder" if "val" in listed else ""
        return reader.source(names, size, listed["train"], listed["test"], listed.get("val"), origin)

    def _split_here(self, reader: FileReader) -> Source:
        names = _class_names(self.root)
        files, labels = _list_files(self.root, names, reader)
        self._check_share(names, np.bincount(labels).tolist())
        kept, out = stratified_split(labels, self.test_fraction, seed=0)
        train, test = (Part(files[part], labels[part]) for part in (kept, out))
        return reader.source(names, self.image_size or _default_size(train.files), train, test)

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


def _list_files(folder: Path, names: list[str], reader: FileReader) -> Part:
    extensions = Image.registered_extensions()
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        inside = (folder / name).rglob("*")
        found = sorted(
            path for path in inside if not path.is_dir() and not _is_clutter(path.relative_to(folder / name))
        )
        images = [path for path in found if path.suffix.lower() in extensions]
        for other in sorted(set(found) - set(images)):
            reader.refuse(InputError(f"{other}: is no image; remove it, or set data.on_error=skip"))
        if not images:
            raise InputError(f"{folder / name}: holds no image; fill the class folder, or remove it")
        files += images
        labels += [label] * len(images)
    return Part(FileNames.of(files), np.array(labels, dtype=np.int64))


def _class_names(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        found = f"only one, {names[0]}" if names else "none"
        raise InputError(f"{folder} must hold a folder for each of at least two classes, found {found}", "root")
    if odd := [name for name in names if not name.isprintable()]:
        raise InputError(f"{folder} has a class folder whose name cannot be printed: {odd[0]!a}; rename it", "root")
    return names


def _is_clutter(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts) or path.name.lower() in _LEFT_BY_SYSTEMS


def _default_size(files: Files) -> int:
    for path in files:
        with suppress(Exception), Image.open(path) as image:  # a damaged one is named, or skipped, when it is decoded
            return min(*image.size, LARGEST_DEFAULT_SIZE)
    raise InputError(f"{files[0]}: no file beside it can be read as an image either")
