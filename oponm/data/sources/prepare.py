"""Packs a data set's images: decodes each only once, even if interrupted, in one process at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from oponm.data.decode import Form, UnusableFiles, decode_ahead, open_rgb, read_image
from oponm.data.progress import track
from oponm.data.sources.pack import Pack, PackWriter, Pixels, Stamp, UnusablePack
from oponm.errors import InputError

log = logging.getLogger(__name__)
LOCK = "prepare.lock"


class Recipe(NamedTuple):
    """Way in which images are packed.

    Attributes:
        name: description of the recipe; recipes that give other pixels have other names.
        decode: function from a file to its pixels, (H, W, 3), uint8.
        cropped: True if images are packed whole, so that random crops can be taken from them; False if they are packed
            at their final size.
    """

    name: str
    decode: Callable[[Path], Pixels]
    cropped: bool


def squares(form: Form, decode: Callable[[Path, Form], Tensor] = read_image) -> Recipe:
    """Return the recipe that packs images at the network's size, which most often is a square.

    Args:
        form: the size that images are brought to, and how; they are packed in color in any case.
        decode: function from a path and a form to pixels, (3, H, W), uint8.

    Example:
        >>> squares(Form(32)).name
        'squares of 32 pixels, by read_image'
    """
    form = form._replace(channels=3)
    _, height, width = form.image_shape
    what = f"squares of {height}" if height == width else f"{height}x{width}"
    how = "" if form.resize == "crop" else f", data.resize={form.resize}"
    name = f"{what} pixels, by {decode.__name__.lstrip('_')}{_white(form.pixel_max)}{how}"
    return Recipe(name, lambda path: decode(path, form).permute(1, 2, 0).numpy(), cropped=False)


def scaled(short_side: int | None, pixel_max: float | None = None) -> Recipe:
    """Return the recipe that packs whole images, scaled down if their short side is longer than ``short_side``.

    Args:
        short_side: maximum short side in pixels; None scales no image.
        pixel_max: the value that counts as white in images of more than 8 bits; None takes it from each image's values.

    Example:
        >>> scaled(256).name, scaled(None).name
        ('whole images, short side at most 256 pixels', 'whole images')
    """
    limit = "" if short_side is None else f", short side at most {short_side} pixels"

    def decode(path: Path) -> Pixels:
        image = open_rgb(path, pixel_max)
        if short_side is not None and min(image.size) > short_side:
            width, height = (max(short_side, round(side * short_side / min(image.size))) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        return np.array(image)

    return Recipe(f"whole images{limit}{_white(pixel_max)}", decode, cropped=True)


def _white(pixel_max: float | None) -> str:
    return "" if pixel_max in (None, 255) else f", white at {pixel_max:g}"


class Packing:
    """A data set's images and the folder of their pack.

    The pack contains every image that the data set lists, whatever tail is drawn from them, so that it serves all
    experiments on the data set.

    Args:
        folder: folder of the pack.
        recipe: how images are packed.
        root: folder of the data set, which contains the files.
        files: paths of its images; a file may occur several times.
        skip: whether a file that cannot be decoded is recorded in the pack with the reason; False raises an error.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 20)).save(folder / "one.png")
        >>> packing = Packing(folder / "pack", squares(Form(8)), folder, [folder / "one.png"])
        >>> packing.make().num_bytes
        192
        >>> packing.pack.image(0).shape
        (8, 8, 3)
    """

    def __init__(self, folder: Path, recipe: Recipe, root: Path, files: Iterable[Path], skip: bool = False) -> None:
        self.folder, self.recipe, self.root, self.skip = folder, recipe, root, skip
        self.files = list(dict.fromkeys(files))

    @cached_property
    def pack(self) -> Pack:
        """The pack, opened.

        Raises:
            InputError: if it is missing or not complete, or if files have changed since it was made.
        """
        try:
            return self._open(self._stamps())
        except UnusablePack as error:
            raise self._refused(error) from error

    def verify(self, rows: npt.NDArray[np.int64] | None = None) -> None:
        """Compare the pixels of some rows of the pack, or of all, with their checksums.

        Raises:
            InputError: if they differ.
        """
        try:
            self.pack.verify(rows, _show)
        except UnusablePack as error:
            raise self._refused(error) from error

    def _refused(self, error: UnusablePack) -> InputError:
        remedy = "run 'oponm data prepare' with the same settings"
        return InputError(f"names no pack that can be read: {self.folder} ({error}); {remedy}", "pack")

    def rows(self, files: Iterable[Path]) -> npt.NDArray[np.int64]:
        """Return the row of each file in the pack, (N,), int64."""
        return np.array([self.pack.rows[self._relative(file)] for file in files], dtype=np.int64)

    def unreadable(self, pack: Pack) -> list[InputError]:
        """Return an error for each file of the data set that could not be decoded."""
        noted = ((file, pack.entries[pack.rows[self._relative(file)]].error) for file in self.files)
        return [InputError(f"{file}: {error}") for file, error in noted if error]

    def make(self) -> Pack:
        """Make the pack or complete an interrupted one, and return it; wait while another process makes it.

        A pack that is complete is kept if its files have not changed and all checksums of its pixels are right.

        Raises:
            InputError: for a folder that cannot be written to, a full disk, and, unless they are skipped, for a file
                that cannot be decoded.
        """
        stamps = self._stamps()
        try:
            pack = self._make(stamps)
        except OSError as error:
            raise InputError(
                f"cannot be written to: {self.folder} ({error.strerror or error}); make room there or name another "
                "folder, and run again: what is complete is kept",
                "pack",
            ) from error
        if not self.skip and (unreadable := self.unreadable(pack)):
            raise UnusableFiles(unreadable)
        return pack

    def _make(self, stamps: list[Stamp]) -> Pack:
        try:
            return self._open(stamps, verify=True)  # without a lock: the folder may be read-only
        except UnusablePack:
            self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder):
            try:
                return self._open(stamps, verify=True)
            except UnusablePack as error:
                log.info("%s: %s", self.folder, error)
            self._write(stamps)
            return self._open(stamps)

    def _open(self, stamps: list[Stamp], verify: bool = False) -> Pack:
        pack = Pack(self.folder)
        if pack.recipe != self.recipe.name:
            raise UnusablePack(f"the pack holds {pack.recipe}, but the config asks for {self.recipe.name}")
        stale = [
            stamp.path
            for stamp in stamps
            if (row := pack.rows.get(stamp.path)) is None or pack.entries[row].stamp != stamp
        ]
        if stale:
            raise UnusablePack(f"{len(stale)} of {len(stamps)} files are new or have changed since, first {stale[0]}")
        if verify:
            pack.verify(track=_show)
        return pack

    def _write(self, stamps: list[Stamp]) -> None:
        writer = PackWriter(self.folder, self.recipe.name, stamps)
        left = self.files[writer.done :]
        if writer.done:
            log.warning("continuing after %d of %d images in %s", writer.done, len(self.files), self.folder)
        decoded = decode_ahead(left, self.recipe.decode, threads=os.cpu_count() or 1)  # whole images may be large
        for file, result in zip(left, track(decoded, len(left), "packing images"), strict=True):
            if not isinstance(result, InputError):
                writer.add(result)
            elif self.skip:
                writer.add(None, result.message.removeprefix(f"{file}: "))
            else:
                raise result
        writer.finish()

    def _stamps(self) -> list[Stamp]:
        stamps = []
        for file in self.files:
            try:
                facts = file.stat()
            except OSError as error:
                raise InputError(f"{file}: cannot be read ({error.strerror}); run again") from error
            stamps.append(Stamp(self._relative(file), facts.st_size, facts.st_mtime_ns))
        return stamps

    def _relative(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def _show(rows: list[int]) -> Iterator[int]:
    return track(rows, len(rows), "checking the pack")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Context manager that holds a lock on a folder; it waits while another process holds the lock.

    The operating system releases the lock when the process ends, even by a crash.

    Args:
        folder: the folder to lock; the lock's file stays in it.

    Example:
        >>> import tempfile
        >>> with alone(Path(tempfile.mkdtemp())):
        ...     pass
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("another process is preparing %s: waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
