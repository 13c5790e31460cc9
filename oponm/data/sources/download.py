"""Downloads files; they get their final names only when they are complete."""

from __future__ import annotations

import hashlib
import http.client
import math
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from oponm.data.progress import track
from oponm.errors import InputError

TIMEOUT = 60  # seconds without an answer
_CHUNK = 2**20


@runtime_checkable
class Fetching(Protocol):
    """Protocol of data sets that ``oponm data prepare`` downloads; training never downloads them."""

    def fetch(self, tell: Callable[[str], None]) -> None:
        """Download and unpack what is missing; ``tell`` is called with a line of text for each step."""


@contextmanager
def scratch_folder(root: Path, prefix: str) -> Iterator[Path]:
    """Context manager that makes a folder inside ``root`` and removes it at the end.

    Parent folders that it made are removed too if they are still empty.

    Args:
        root: the parent folder; made if needed.
        prefix: beginning of the folder's name.

    Raises:
        InputError: if ``root`` cannot be written to.

    Example:
        >>> root = Path(tempfile.mkdtemp(), "new")
        >>> with scratch_folder(root, ".work-") as scratch:
        ...     _ = (scratch / "half").write_text("...")
        >>> root.exists()
        False
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        except OSError as error:
            raise InputError(f"cannot be written to: {root} ({error.strerror}); name another folder", "root") from error
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def download(url: str, file: Path, by_hand: str) -> None:
    """Download an address to a file, with a progress bar.

    The download may be incomplete without an error: compare it with :func:`check_hash`.

    Args:
        url: the address.
        file: path of the new file, in a temporary folder that the caller moves it from after that check.
        by_hand: text for the error that says how to get the file by hand.

    Raises:
        InputError: naming the address, if the server does not answer, or if the disk is full.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> size = (folder / "there").write_bytes(b"content")
        >>> download((folder / "there").as_uri(), folder / "here", "copy it by hand")
        >>> (folder / "here").read_bytes()
        b'content'
    """
    name = url.rpartition("/")[2]
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, file.open("wb") as target:
            chunks = math.ceil((getattr(response, "length", None) or 0) / _CHUNK)
            read = iter(partial(response.read, _CHUNK), b"")
            for chunk in track(read, chunks, f"downloading {name}"):
                target.write(chunk)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{url}: cannot be downloaded ({error or type(error).__name__}); {by_hand}") from error


def check_hash(file: Path, expected: str, remedy: str, origin: str | None = None) -> None:
    r"""Compare a file with its published hash.

    Args:
        file: the file.
        expected: the hash in hexadecimal digits: an MD5 (32 digits), or a Git blob SHA-1 (40 digits), that of
            ``blob <length>\0`` and the content.
        remedy: text for the error that says what to do if the hash differs.
        origin: origin of the file, such as its address, for the error; None names the file itself.

    Raises:
        InputError: naming both hashes, if they differ; or if the file cannot be read.

    Example:
        >>> file = Path(tempfile.mkdtemp(), "empty")
        >>> file.touch()
        >>> check_hash(file, "d41d8cd98f00b204e9800998ecf8427e", "get it again")
        >>> check_hash(file, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "get it again")
    """
    from torchvision.datasets.utils import calculate_md5  # slow, as it imports all of torchvision's data sets

    try:
        if kind_of_hash(expected) == "md5":
            found = calculate_md5(file)
        else:
            found = hashlib.sha1(
                b"blob %d\0" % file.stat().st_size + file.read_bytes(), usedforsecurity=False
            ).hexdigest()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); download it again") from error
    if found != expected:
        raise InputError(f"{origin or file}: expected {kind_of_hash(expected)} {expected}, found {found}: {remedy}")


def kind_of_hash(digits: str) -> str:
    """Return ``"git blob sha1"`` for a hash of 40 digits, else ``"md5"``."""
    return "git blob sha1" if len(digits) == 40 else "md5"
