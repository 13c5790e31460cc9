"""Places365-Standard, small images: the public archives, and the images in them that lists name.

torchvision's ``Places365`` would unpack all 1.8 million images into its own folders, and its names and checksums are
private, so they are repeated here.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from oponm.data.progress import track
from oponm.data.sources.download import check_hash, download, scratch_folder
from oponm.data.sources.prepare import alone
from oponm.errors import InputError


class Archive(NamedTuple):
    """A published archive.

    Attributes:
        file: name of the file.
        md5: checksum.
        gigabytes: approximate size.
    """

    file: str
    md5: str
    gigabytes: float


BASE_URL = "http://data.csail.mit.edu/places/places365/"
LISTS = Archive("filelist_places365-standard.tar", "35a0585fee1fa656440f3ab298f8479c", 0.05)
VAL = Archive("val_256.tar", "e27b17d8d44f4af9a78502beb927f808", 0.5)
TRAIN = Archive("train_256_places365standard.tar", "53ca1c756c3d1e7809517cc47c5561c5", 24.5)
VAL_LIST, CATEGORIES = "places365_val.txt", "categories_places365.txt"
_PREFIX = ".places365-"
_REPLACE = "delete it to download it again"


def fetch(root: Path, wanted: Collection[str], verify: bool, tell: Callable[[str], None]) -> None:
    """Unpack images to ``root`` from the published archives, which are downloaded unless they are there.

    Only the wanted images are unpacked, in a temporary folder in ``root``, and moved when the archive has been read to
    its end; existing images are kept. An archive is put into ``root`` when its checksum is right, and stays there, so a
    later interruption needs no second download. One process works at a time; others wait.

    Args:
        root: the folder of the images; made if needed.
        wanted: paths of images in ``root``, as ``train/<category>/*.jpg`` and ``val/<category>/*.jpg``, the parts of a
            category's name joined by ``-``.
        verify: whether to check an archive in ``root`` against its checksum; a download is always checked.
        tell: function that is called with a line of text for each step.

    Raises:
        InputError: if ``root`` cannot be written to or has no room, an archive cannot be downloaded, is not the
            published one, has paths outside its folder, or lacks wanted images.
    """
    if not _missing(root, wanted):
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root):
            for left in root.glob(f"{_PREFIX}*"):  # left by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            if missing := _missing(root, wanted):
                _fetch(root, missing, verify, tell)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot be written to: {root} ({reason}); make room or name another folder", "root"
        ) from error


def train_name(member: str) -> str | None:
    """The path of a member of the training archive; None for a member that is no image.

    Example:
        >>> train_name("data_256/a/apartment_building/outdoor/00000001.jpg")
        'train/apartment_building-outdoor/00000001.jpg'
    """
    top, *between, file = PurePosixPath(member).parts or [""]
    return f"train/{'-'.join(between[1:])}/{file}" if top == "data_256" and len(between) > 1 else None


def val_name(member: str, categories: dict[str, str]) -> str | None:
    """The path of a member of the validation archive; None for a member that is no image.

    Args:
        member: name of the member.
        categories: category of each image; see :func:`val_categories`.

    Example:
        >>> val_name("val_256/Places365_val_00000001.jpg", {"Places365_val_00000001.jpg": "airfield"})
        'val/airfield/Places365_val_00000001.jpg'
    """
    folder, _, file = str(PurePosixPath(member)).partition("/")
    return f"val/{categories[file]}/{file}" if folder == "val_256" and file in categories else None


def val_categories(archive: Path) -> dict[str, str]:
    """The category of each validation image, by the lists in the published archive of lists.

    Args:
        archive: archive with the list of labeled validation images and the list of categories.

    Raises:
        InputError: if the archive cannot be read, or lacks the lists.
    """
    try:
        with tarfile.open(archive, "r:") as opened:
            names = {label: name[3:].replace("/", "-") for name, label in _rows(opened, CATEGORIES)}
            return {file: names[label] for file, label in _rows(opened, VAL_LIST)}
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise InputError(f"{archive}: does not hold {VAL_LIST} and {CATEGORIES} ({error}); {_REPLACE}") from error


def _rows(archive: tarfile.TarFile, name: str) -> list[tuple[str, str]]:
    """The lines of a member, two words each."""
    for member in archive:
        if str(PurePosixPath(member.name)) == name and (content := archive.extractfile(member)):
            rows = [line.split() for line in content.read().decode().splitlines()]
            return [(first, second) for first, second in rows]
    raise KeyError(name)


def _missing(root: Path, wanted: Collection[str]) -> list[str]:
    return [name for name in wanted if not (root / name).is_file()]


def _fetch(root: Path, missing: list[str], verify: bool, tell: Callable[[str], None]) -> None:
    train = {name for name in missing if name.startswith("train/")}
    val = {name for name in missing if name.startswith("val/")}
    archives = [*((LISTS, VAL) if val else ()), *((TRAIN,) if train else ())]
    tell(f"{len(missing)} images are missing in {root}")
    _announce(root, [archive for archive in archives if not (root / archive.file).is_file()], tell)
    if val:
        lists = _obtain(LISTS, root, verify, tell)
        images = _obtain(VAL, root, verify, tell)
        categories = val_categories(lists)
        _unpack(images, root, val, lambda member: val_name(member, categories), tell)
    if train:
        _unpack(_obtain(TRAIN, root, verify, tell), root, train, train_name, tell)
    if archives:
        tell(f"all images are there; {', '.join(archive.file for archive in archives)} in {root} may be deleted")


def _announce(root: Path, absent: list[Archive], tell: Callable[[str], None]) -> None:
    """Report the size of the download, and check that there is room."""
    if not absent:
        return
    gigabytes = sum(archive.gigabytes for archive in absent)
    tell(f"downloading {', '.join(archive.file for archive in absent)} from {BASE_URL}: {_size(gigabytes)} in all")
    free = shutil.disk_usage(root).free / 1e9
    if free < gigabytes:
        by_hand = "make room or name another folder"
        raise InputError(f"has {free:.1f} GB free, {_size(gigabytes)} are to be downloaded: {root}; {by_hand}", "root")


def _size(gigabytes: float) -> str:
    return f"about {gigabytes:.0f} GB" if gigabytes >= 1 else f"about {1000 * gigabytes:.0f} MB"


def _obtain(archive: Archive, root: Path, verify: bool, tell: Callable[[str], None]) -> Path:
    """The archive in ``root``, with the right checksum."""
    file, url = root / archive.file, f"{BASE_URL}{archive.file}"
    if file.is_file():
        if verify:
            tell(f"comparing {file} with its published checksum")
            check_hash(file, archive.md5, f"{_REPLACE}, or set data.verify=false to use it as it is")
        return file
    by_hand = f"put {archive.file} into {root} by hand"
    tell(f"downloading {url}: {_size(archive.gigabytes)}")
    with scratch_folder(root, _PREFIX) as scratch:
        download(url, scratch / archive.file, by_hand)
        remedy = f"it was cut short or altered on its way; run again, or {by_hand}"
        check_hash(scratch / archive.file, archive.md5, remedy, url)
        os.replace(scratch / archive.file, file)
    return file


def _unpack(
    archive: Path, root: Path, wanted: set[str], place: Callable[[str], str | None], tell: Callable[[str], None]
) -> None:
    """Unpack the wanted images of an archive, and move them to their places when it has been read to its end."""
    tell(f"unpacking {len(wanted)} images from {archive}")
    with scratch_folder(root, _PREFIX) as scratch:
        try:
            found = set(track(_unpacked(archive, scratch, wanted, place), len(wanted), f"unpacking {archive.name}"))
        except (OSError, tarfile.TarError) as error:
            raise InputError(f"{archive}: cannot be unpacked ({error}); make room, or {_REPLACE}") from error
        for name in sorted(found):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / name, root / name)
    if lacking := sorted(wanted - found):
        raise InputError(f"{archive}: lacks {len(lacking)} images that the lists name, first {lacking[0]}; {_REPLACE}")


def _unpacked(archive: Path, scratch: Path, wanted: set[str], place: Callable[[str], str | None]) -> Iterator[str]:
    """Write the wanted images into ``scratch``, and yield their names; members that lead out of it are refused."""
    opened: Any  # torch's types lack the list of members
    with tarfile.open(archive, "r:") as opened:
        while (member := opened.next()) is not None:
            opened.members.clear()  # the list would grow to nearly two million
            safe = tarfile.data_filter(member, str(scratch))
            name = place(safe.name)
            if name is None or name not in wanted or not safe.isreg() or not (content := opened.extractfile(member)):
                continue
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            with content, (scratch / name).open("wb") as target:
                shutil.copyfileobj(content, target)
            yield name
