"""ImageNet-LT, Places-LT and iNaturalist 2018, given by published lists of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from typing_extensions import Unpack

from oponm.data.check import DataCheck
from oponm.data.decode import Form
from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions, check_size
from oponm.data.sources.base import Part, Source
from oponm.data.sources.download import check_hash, kind_of_hash
from oponm.data.sources.file_lists import read_list
from oponm.data.sources.places365 import fetch
from oponm.data.sources.reading import ON_ERROR, FileReader, check_pack
from oponm.errors import InputError, check_choice, check_flag, check_path

LISTS = "https://github.com/zhmiao/OpenLongTailRecognition-OLTR"  # of Liu et al.
_OF_KANG = "https://github.com/facebookresearch/classifier-balancing"
_IMAGENET_TRAIN, _IMAGENET_VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_INATURALIST = "train_val2018.tar.gz"
_PLACES = "Places365-Standard small (places365standard_easyformat.tar)"


@dataclass(frozen=True)
class PublishedList:
    """A published list: its file name, number of images, hash, and the archive that contains the images."""

    file: str
    num_images: int
    digest: str
    archive: str


@dataclass(frozen=True)
class PublishedLists:
    """The published lists of a data set, its number of classes, and the layout of its images.

    Attributes:
        num_classes: number of classes, K.
        layout: layout of the images in their folder, in words, for errors.
        train: the training set.
        val: the validation set; None for a data set that has none.
        test: the test set.
        origin: the page that the lists are linked from.
    """

    num_classes: int
    layout: str
    train: PublishedList
    val: PublishedList | None
    test: PublishedList
    origin: str = LISTS


class ListLT(LongTailDataModule):
    """Base class of ``ImageNetLT``, ``PlacesLT`` and ``INaturalist2018``, which give the published lists.

    Args:
        root: folder of the images.
        lists: folder of the lists; None takes ``root``.
        verify: whether to compare the lists with the published hash and number of images.
        image_size: side of the square images in pixels, or (height, width).
        on_error: reaction to files that cannot be read: ``"raise"`` raises an error that names them; ``"skip"`` leaves
            them out and lists them. A missing file raises an error in any case.
        pack: folder to read decoded images from, made by ``oponm data prepare``; None decodes the files.
        pack_size: maximum short side in pixels of the images in the pack, for ``in_memory=False``; None keeps their
            own size. For ``in_memory=True``, images are packed at ``image_size``.
        **options: for :class:`~oponm.data.LongTailDataModule`. ``imbalance_ratio=None`` takes the list as it is; a
            number draws another tail from it. ``val="split"`` takes the published validation list, if there is one.

    Raises:
        InputError: for a missing folder, list or image, a list that is not the published one, or a line that cannot be
            used; see :func:`~oponm.data.sources.file_lists.read_list`.
    """

    published: ClassVar[PublishedLists]

    def __init__(
        self,
        root: str | Path,
        lists: str | Path | None = None,
        verify: bool = True,
        image_size: int | Sequence[int] = 224,
        on_error: str = "raise",
        pack: str | Path | None = None,
        pack_size: int | None = 256,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        self.root = check_path("root", root)
        self.lists = self.root if lists is None else check_path("lists", lists)
        self.verify = check_flag("verify", verify)
        self.image_size = check_size("image_size", image_size)
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self.pack, self.pack_size = check_pack(pack, pack_size)

    def load_source(self) -> Source:
        """Read the lists, and check that their images exist; nothing is decoded yet."""
        found = self.survey()
        train, val, test = found.checked_parts()
        reader = FileReader(self, Form(self.image_size))
        return reader.source(found.class_names, train, test, val, "published list" if val else "")

    def survey(self) -> DataCheck:
        """Check the lists, and look for each of their images."""
        found, classes = DataCheck(), self.published.num_classes
        for key, folder in {"root": self.root, "lists": self.lists}.items():
            if not folder.is_dir() and (key == "root" or folder != self.root):
                found.refuse("folder", InputError(f"is not a folder: {folder}", key))
        for name, part in self._lists().items():
            try:
                listed = self._read(part, self.verify)
                state = "not compared with the published"
                if self.verify:
                    state = f"{kind_of_hash(part.digest)} {part.digest}, as published"
                found.note(f"{name} list", f"{self.lists / part.file}, {state}")
            except InputError as error:
                found.refuse(f"{name} list", error)
                try:
                    listed = self._read(part, verify=False)
                except InputError as other:
                    if str(other) != str(error):
                        found.refuse(f"{name} list", other)
                    continue
            found.add_part(name, listed, classes, part.archive, self.published.layout)
            if name == "training":
                try:
                    found.class_names = self._class_names(listed)
                except InputError as error:
                    found.refuse("classes", error)
        return found

    def _lists(self) -> dict[str, PublishedList]:
        lists = {"training": self.published.train, "validation": self.published.val, "test": self.published.test}
        return {name: part for name, part in lists.items() if part is not None}

    def _read(self, part: PublishedList, verify: bool) -> Part:
        path = self.lists / part.file
        if not path.is_file():
            raise InputError(
                f"{path}: is missing; put the published lists there (they are linked from {self.published.origin}), "
                "or set data.lists to their folder"
            )
        if verify:
            check_hash(path, part.digest, "it is not the published list; download it again, or set data.verify=false")
        listed = read_list(path, self.root, self.published.num_classes)
        if verify and len(listed.files) != part.num_images:
            raise InputError(
                f"{path}: has {len(listed.files)} images, {part.num_images} were published; "
                "download it again, or set data.verify=false"
            )
        return listed

    def _class_names(self, training: Part) -> list[str]:
        """Return the name of the folder of each label's images, ``train/<class>/*``."""
        present, first = np.unique(training.labels, return_index=True)
        if absent := sorted(set(range(self.published.num_classes)) - set(present.tolist())):
            path, number = self.lists / self.published.train.file, self.published.num_classes
            raise InputError(f"{path}: names no image of label {absent[0]}; each of the {number} classes needs one")
        return [training.files[index].parent.name for index in first]


class ImageNetLT(ListLT):
    """ImageNet-LT: 115,846 images of 1,000 classes, 1,280 to 5 per class; validation 20,000, test 50,000.

    ``root`` contains ILSVRC2012 as ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``, the validation images sorted into
    class folders; ``lists`` contains ``ImageNet_LT_train.txt``, ``ImageNet_LT_val.txt`` and ``ImageNet_LT_test.txt``.
    The validation list takes 20 images per class from ILSVRC2012's training images; ILSVRC2012's validation images are
    the test set. Class names are WordNet ids. Arguments and errors are those of :class:`ListLT`.

    References:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019, arXiv 1904.05160.
    """

    published = PublishedLists(
        num_classes=1000,
        layout="train/<wnid>/*.JPEG and val/<wnid>/*.JPEG below data.root, val sorted into class folders",
        train=PublishedList(
            "ImageNet_LT_train.txt", 115_846, "a063f095fcd475db4cf8b0658c4b73955535bbf9", _IMAGENET_TRAIN
        ),
        val=PublishedList("ImageNet_LT_val.txt", 20_000, "ef44f8e43fbc904809a77216042e7498", _IMAGENET_TRAIN),
        test=PublishedList("ImageNet_LT_test.txt", 50_000, "5f5f97c738923e877c5c78accce6744f", _IMAGENET_VAL),
    )


class PlacesLT(ListLT):
    """Places-LT: 62,500 images of 365 scenes, 4,980 to 5 per class; validation 7,300, test 36,500.

    ``root`` contains the small images (256x256) of Places365-Standard as ``train/<category>/*.jpg`` and
    ``val/<category>/*.jpg``, the validation images sorted into class folders; ``lists`` has ``Places_LT_train.txt``,
    ``Places_LT_val.txt`` and ``Places_LT_test.txt``. The validation list takes 20 images per class from Places365's
    training images; Places365's validation images are the test set. Arguments and errors are those of
    :class:`ListLT`. :meth:`fetch` downloads the images, or uses the published archives if they are in ``root``.

    References:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019, arXiv 1904.05160.
    """

    published = PublishedLists(
        num_classes=365,
        layout="train/<category>/*.jpg and val/<category>/*.jpg below data.root, val sorted into class folders, "
        "or run 'oponm data prepare' with the same settings to download them",
        train=PublishedList("Places_LT_train.txt", 62_500, "e7795ab1bf428a89f900854127b1e556", _PLACES),
        val=PublishedList("Places_LT_val.txt", 7_300, "2f6e727cd6c99c7b7fdecc9876875b1b", _PLACES),
        test=PublishedList("Places_LT_test.txt", 36_500, "1347af35b053bd31cf782256306affe7", _PLACES),
    )

    def fetch(self, tell: Callable[[str], None]) -> None:
        """Download and unpack the images that the lists name and ``root`` lacks.

        Args:
            tell: function that is called with a line of text for each step.

        Raises:
            InputError: for lists that are missing or not the published ones; see also
                :func:`~oponm.data.sources.places365.fetch`.
        """
        files = [file for part in self._lists().values() for file in self._read(part, self.verify).files]
        names = dict.fromkeys(file.relative_to(self.root).as_posix() for file in files)
        fetch(self.root, names, self.verify, tell)


class INaturalist2018(ListLT):
    """iNaturalist 2018: 437,513 training images of 8,142 species, 1,000 to 2 per class, and 24,426 to test on.

    ``root`` contains ``train_val2018/<kingdom>/<category>/*.jpg`` of the challenge; ``lists`` has the lists
    ``iNaturalist18_train.txt`` and ``iNaturalist18_val.txt``, which code for long-tailed recognition shares. The
    challenge's validation images, three per class, are the test set, as in the literature, so ``val="split"`` holds
    images out of the training images. Class names are the numbers of the challenge's categories. Arguments and errors
    are those of :class:`ListLT`.

    References:
        Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", CVPR 2018. Kang et al.,
        "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020 (the lists).
    """

    published = PublishedLists(
        num_classes=8142,
        layout="train_val2018/<kingdom>/<category>/*.jpg below data.root",
        train=PublishedList(
            "iNaturalist18_train.txt", 437_513, "4accdb7584d2f0a5106c40a33ed6afa392189bcc", _INATURALIST
        ),
        val=None,
        test=PublishedList("iNaturalist18_val.txt", 24_426, "4c23900857fd0f5adcd4cc0dffef345039eeb05f", _INATURALIST),
        origin=_OF_KANG,
    )
