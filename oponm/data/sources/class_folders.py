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
    """The folders in a folder, links to folders included, in order of names; hidden ones and those of systems are not.

    Raises:
        InputError: for a link to nothing, which may have been a folder.

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
        raise InputError(f"{dead[0]} is a link to nothing: remove it, or put back what it leads to", "root")
    return [path for path in entries if path.is_dir()]


def list_images(folder: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """The images in a folder, at any depth, and all else in it that is no folder, both in order of names.

    Hidden files and those of operating systems are skipped. Links to folders are followed.

    Args:
        folder: one that does not exist has none.
        root: the folder that links must not leave.

    Returns:
        Files that are images by their extension; and other files, named pipes and links to nothing.

    Raises:
        InputError: naming a link to a folder that leaves ``root``.

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
    """What is below a folder, and whether it is a regular file."""
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
    """Make sure that a folder does not leave another through a symbolic link.

    Raises:
        InputError: naming the folder, if it does.
    """
    if not is_inside(folder, os.path.realpath(root)):
        raise InputError(
            f"{folder}: is a link that leaves {root} (to {os.path.realpath(folder)}), and is not followed: move the "
            "images there, or remove it"
        )


def find_splits(root: Path) -> tuple[dict[str, Path], list[Path]]:
    """The folders that are named as splits, in any case, and the other folders beside them.

    Args:
        root: a folder.

    Returns:
        Folders by ``"train"``, ``"test"`` and ``"val"``, as far as they are there, and the others.

    Raises:
        InputError: if there are two of a kind, or if there is one of the others without ``train``.

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
    """The folder that was probably meant where a root is one level too high; None where it seems to be right.

    That is a folder with a split ``train`` in it; or, if no class folder holds an image itself, the first of those with
    at least two folders that do.

    Args:
        root: holds no splits.
        classes: its folders.
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
    """Whether a path, its links followed, does not leave a folder.

    Args:
        path: the path, which need not exist.
        real_root: the folder, its own links followed.
    """
    real = os.path.realpath(path)
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)
