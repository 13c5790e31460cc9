"""CelebA-5: faces by hair color, long-tailed by nature."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor
from typing_extensions import Unpack

from oponm.data.check import DataCheck
from oponm.data.decode import Form, read_image
from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions
from oponm.data.sources.base import Part, Source
from oponm.data.sources.file_lists import read_lines
from oponm.data.sources.reading import ON_ERROR, FileReader, check_pack
from oponm.errors import InputError, check_choice, check_int, check_path

log = logging.getLogger(__name__)
CLASSES = ("Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
TRAIN_COUNTS = (424, 2423, 1499, 2078, 227)
VAL_COUNT, TEST_COUNT = 50, 100  # of each class
ARCHIVE, LAYOUT = "img_align_celeba.zip", "img_align_celeba/*.jpg below data.root"
VARIANTS = ("published", "clean")
_APART = "no image is in two parts or has two labels"
_FILE_NAME = re.compile(r"[0-9]+\.jpg")


class Split(NamedTuple):
    """The three parts of CelebA-5: positions in the attribute file, and labels."""

    train: Part
    val: Part
    test: Part


class CelebA5(LongTailDataModule):
    """CelebA-5: 6,651 images of five hair colors for training, 50 per class for validation and 100 for testing.

    ``root`` contains ``img_align_celeba/*.jpg`` and ``list_attr_celeba.txt``. :func:`celeba5_split` describes which
    images are taken. Each is cut to its center square, scaled to twice ``image_size`` and then halved. With the default
    ``image_size=32`` this is 64 and then 32 pixels, as published. The publication does not say how the faces, 178 by
    218 pixels, are cut.

    Args:
        root: folder of the data set.
        variant: ``"published"``, in which some images are in two parts or have several labels, or ``"clean"``. Results
            and the log give the variant and the number of such images.
        image_size: side of the square images in pixels.
        on_error: reaction to files that cannot be read: ``"raise"`` raises an error that names them; ``"skip"`` leaves
            them out and lists them.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        **options: for :class:`~oponm.data.LongTailDataModule`. ``imbalance_ratio=None`` takes the counts above; a
            number draws another tail from these images. ``val="split"`` takes the published validation images.

    Raises:
        InputError: for a missing folder, file or image, or an attribute file that cannot be used.

    References:
        Kim et al., "M2m: Imbalanced Classification via Major-to-minor Translation", CVPR 2020, arXiv 2004.00431;
        Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015, arXiv 1411.7766.
    """

    def __init__(
        self,
        root: str | Path,
        variant: str = "published",
        image_size: int = 32,
        on_error: str = "raise",
        pack: str | Path | None = None,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.root = check_path("root", root)
        self.variant = check_choice("variant", variant, VARIANTS)
        self.image_size = check_int("image_size", image_size, minimum=4)
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack, _ = check_pack(pack, None)

    def load_source(self) -> Source:
        """Read and split the attributes; nothing is decoded yet."""
        found = self.survey()
        train, val, test = found.checked_parts()
        log.info("CelebA-5, variant %s", self.variant)
        variant = found.facts[0]
        if variant != _APART:
            log.warning("%s, as published: data.variant=clean has none", variant)
        reader = FileReader(self, Form(self.image_size), _read_face)
        source = reader.source([*CLASSES], train, test, val, "published rule")
        source.facts["variant"] = f"{self.variant}; {variant}"
        return source

    def survey(self) -> DataCheck:
        """Check the attribute file, and look for each of the images."""
        found = DataCheck(class_names=[*CLASSES])
        if not self.root.is_dir():
            found.refuse("folder", InputError(f"is not a folder: {self.root}", "root"))
            return found
        try:
            names, attributes = read_attributes(self.root / "list_attr_celeba.txt")
            split = celeba5_split(attributes, self.variant)
        except InputError as error:
            found.refuse("attributes", error)
            return found
        found.facts.append(_overlap(split) or _APART)
        found.note("attributes", f"of {len(names)} images; split {self.variant}, {found.facts[0]}")
        files = np.array([self.root / "img_align_celeba" / name for name in names], dtype=object)
        for name, part in zip(("training", "validation", "test"), split, strict=True):
            found.add_part(name, Part(files[np.asarray(part.files)], part.labels), len(CLASSES), ARCHIVE, LAYOUT)
        return found


def celeba5_split(
    attributes: npt.NDArray[np.bool_], variant: str = "published", train_counts: Sequence[int] = TRAIN_COUNTS
) -> Split:
    """Split CelebA by the published rule.

    Of the images that have a class's attribute, in order of their ids, the first 50 are for validation, the next 100
    for testing, and the next ones, as many as ``train_counts`` says, for training.

    ``"published"`` applies the rule as it is: an image with several of the attributes can occur once for each, with
    different labels, and in more than one part. ``"clean"`` first drops every image with more than one of the five
    attributes, then applies the rule, so that the next ids replace those dropped. Each image left has one label, so it
    occurs once, in one part.

    Args:
        attributes: whether each image has each attribute of :data:`CLASSES`, rows in order of the ids, (M, 5), bool.
        variant: ``"published"`` or ``"clean"``.
        train_counts: training images of each class.

    Raises:
        InputError: naming the class that has too few images for its counts.

    Example:
        >>> split = celeba5_split(np.tile(np.eye(5, dtype=bool), (152, 1)), train_counts=[2, 1, 2, 2, 1])
        >>> len(split.val.labels), len(split.test.labels), split.train.files, split.train.labels
        (250, 500, array([750, 755, 751, 752, 757, 753, 758, 754]), array([0, 0, 1, 2, 2, 3, 3, 4]))
    """
    check_choice("variant", variant, VARIANTS)
    if variant == "clean":
        attributes = attributes & (attributes.sum(1, keepdims=True) == 1)
    parts: list[list[npt.NDArray[np.int64]]] = [[], [], []]
    for name, members, train_count in zip(CLASSES, attributes.T, train_counts, strict=True):
        having = np.flatnonzero(members)
        needed = VAL_COUNT + TEST_COUNT + train_count
        if len(having) < needed:
            raise InputError(
                f"CelebA-5 ({variant}) needs {needed} images of {name}, {len(having)} are listed; "
                "take the whole list_attr_celeba.txt"
            )
        bounds = [VAL_COUNT, VAL_COUNT + TEST_COUNT, needed]
        for part, taken in zip(parts, np.split(having, bounds)[:3], strict=True):
            part.append(taken)
    val, test, train = (
        Part(np.concatenate(part), np.repeat(np.arange(len(part)), [len(taken) for taken in part])) for part in parts
    )
    return Split(train, val, test)


def read_attributes(path: Path) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """Read ``list_attr_celeba.txt``: a number of images, the names of the attributes, a line of 1 and -1 per image.

    Returns:
        Names of the image files, and whether each has the attributes of :data:`CLASSES`, (M, 5).

    Raises:
        InputError: naming file and line, for a departure from this format.
    """
    lines = read_lines(path)
    if not lines[0].strip().isdecimal():
        raise InputError(f"{path}, line 1: must be the number of images, got {lines[0][:80]!r}")
    header = lines[1].split() if len(lines) > 1 else []
    if absent := [name for name in CLASSES if name not in header]:
        raise InputError(f"{path}, line 2: must name the attributes; {', '.join(absent)} missing; download it again")
    if len(lines) - 2 != int(lines[0]):
        raise InputError(f"{path}, line 1: says {int(lines[0])} images, {len(lines) - 2} are listed; download it again")
    columns = [header.index(name) for name in CLASSES]
    names: list[str] = []
    attributes = np.empty((len(lines) - 2, len(CLASSES)), dtype=bool)
    for row, line in enumerate(lines[2:]):
        name, *values = line.split() or [""]
        if not _FILE_NAME.fullmatch(name) or len(values) != len(header) or not set(values) <= {"1", "-1"}:
            raise InputError(
                f"{path}, line {row + 3}: must be <id>.jpg and {len(header)} times 1 or -1, got {line[:80]!r}"
            )
        if names and int(name[:-4]) <= int(names[-1][:-4]):
            raise InputError(
                f"{path}, line {row + 3}: {name} comes after {names[-1]}; the images must be in order of ids"
            )
        names.append(name)
        attributes[row] = [values[column] == "1" for column in columns]
    return names, attributes


def _overlap(split: Split) -> str:
    """Describe how many images are in two parts or have several labels, in words; empty if no image is."""
    lines = []
    for (name, one), (other_name, other) in combinations(split._asdict().items(), 2):
        if shared := len(np.intersect1d(one.files, other.files)):
            lines.append(f"{shared} are both in {name} and {other_name}")
    pairs = np.unique(
        np.concatenate([np.stack((np.asarray(part.files), part.labels), axis=1) for part in split]), axis=0
    )
    if repeated := int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum()):
        lines.append(f"{repeated} have several labels")
    return f"of the images {', '.join(lines)}" if lines else ""


def _read_face(path: Path, form: Form) -> Tensor:
    """Scale to twice the size, then to the mean of each 2x2 pixels."""
    size = form.image_shape[1]
    doubled = read_image(path, Form(2 * size))
    return doubled.unflatten(2, (size, 2)).unflatten(1, (size, 2)).float().mean((2, 4)).round().to(doubled.dtype)
