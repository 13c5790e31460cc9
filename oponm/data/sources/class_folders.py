"""Folders of images as users have them: which are splits, which are classes, and which belong to the system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from oponm.errors import InputError

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev"),
}
ROLES = {name: role for role, names in SPLITS.items() for name in names}
_OF_SYSTEMS = {"@eadir", "__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found"}
_OF_SYSTEMS |= {"thumbs.db", "desktop.ini"}


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, links to folders included, sorted by name.

    Hidden folders and those of operating systems are left out.

    Raises:
        InputError: for a broken symbolic link, whose target may have been a folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("cat", "@eaDir", ".git"):
        ...     (folder / name).mkdir()
        >>> [found.name for found in subfolders(folder)]
        ['cat']
    """
    entries = sorted(path for path in folder.iterdir() if not _is_clutter(path.name))
    if dead := [path for path in entries if path.is_symlink() and not path.exists()]:
        raise InputError(f"{dead[0]} is a broken link: remove it, or restore its target", "root")
    return [path for path in entries if path.is_dir()]


def list_images(folder: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """List the images in a folder, at any depth, and all other files in it, both sorted by path.

    Hidden files and those of operating systems are skipped. Links to folders are followed.

    Args:
        folder: the folder; if it does not exist, both lists are empty.
        root: the folder that links must not lead out of.

    Returns:
        Files that are images by their extension; and all others, including named pipes and broken links.

    Raises:
        InputError: naming a link to a folder outside ``root``.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.jpg", "a.PNG", "notes.txt", "Thumbs.db"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> [[file.name for file in files] for files in list_images(folder, folder)]
        [['a.PNG', 'b.jpg'], ['notes.txt']]
    """
    extensions = Image.registered_extensions()
    images: list[Path] = []
    others: list[Path] = []
    for path, regular in _walk(folder, os.path.realpath(root), ()):
        (images if regular and path.suffix.lower() in extensions else others).append(path)
    return sorted(images), sorted(others)


def _walk(folder: Path, real_root: str, above: tuple[str, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield each path below a folder that is not a folder, and whether it is a regular file."""
    if not folder.is_dir():
        return
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder around it
        return
    check_inside(folder, real_root)
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_clutter(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, real_root, (*above, real))
            else:
                yield folder / entry.name, entry.is_file()


def check_inside(folder: Path, root: str | Path) -> None:
    """Check that a folder, with symbolic links resolved, lies in ``root``.

    Raises:
        InputError: naming the folder, if it does not.
    """
    if not is_inside(folder, os.path.realpath(root)):
        raise InputError(
            f"{folder}: is a link that leaves {root} (to {os.path.realpath(folder)}), and is not followed: move the "
            "images there, or remove it"
        )


def find_splits(root: Path) -> tuple[dict[str, Path], list[Path]]:
    """Find the folders in ``root`` that are named as splits, in upper or lower case, and the other folders.

    Args:
        root: a folder.

    Returns:
        A dict from ``"train"``, ``"test"`` and ``"val"`` to their folders, without the missing ones; and the list of
        other folders.

    Raises:
        InputError: if two folders name the same split, or if ``root`` has a folder for ``test`` or ``val`` but none for
            ``train``.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("Training", "validation", "TEST_SIMPLE"):
        ...     (folder / name).mkdir()
        >>> splits, others = find_splits(folder)
        >>> splits["train"].name, splits["val"].name, others[0].name
        ('Training', 'validation', 'TEST_SIMPLE')
    """
    found: dict[str, Path] = {}
    others = []
    for folder in subfolders(root):
        role = ROLES.get(folder.name.lower())
        if role is None:
            others.append(folder)
        elif role in found:
            raise InputError(
                f"{root} has two folders for {role}, {found[role].name} and {folder.name}: keep one of them", "root"
            )
        else:
            found[role] = folder
    if found and "train" not in found:
        names = ", ".join(folder.name for folder in found.values())
        raise InputError(
            f"{root} has a folder {names} but no folder train: add one with the class folders to train on; a class "
            "cannot have such a name",
            "root",
        )
    return {role: found[role] for role in SPLITS if role in found}, others


def meant_below(root: Path, classes: list[Path]) -> Path | None:
    """Guess the right root if the given one is one level too high; return None if it seems to be right.

    The guess is a folder in ``root`` that contains a folder ``train``. If no folder in ``root`` contains images itself,
    it is the first one with at least two subfolders that do.

    Args:
        root: a folder without folders named as splits.
        classes: the folders in it.
    """
    for folder in classes:
        if {"train", "training"} & {below.name.lower() for below in subfolders(folder)}:
            return folder
    if any(_holds_image(folder) for folder in classes):
        return None
    return next((each for each in classes if sum(map(_holds_image, subfolders(each))) > 1), None)


def _holds_image(folder: Path) -> bool:
    extensions = Image.registered_extensions()
    return any(path.suffix.lower() in extensions and not _is_clutter(path.name) for path in folder.iterdir())


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def is_inside(path: str | Path, real_root: str) -> bool:
    """Whether a path, with symbolic links resolved, is a folder or lies in it.

    Args:
        path: the path, which need not exist.
        real_root: path of the folder, with symbolic links resolved.
    """
    real = os.path.realpath(path)
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)
