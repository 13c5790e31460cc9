"""Decodes an image file to pixels of one size."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, ImageStat, UnidentifiedImageError
from torch import Tensor

from oponm.errors import InputError

INTEGER_WHITES = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
FLOAT_WHITES = (1, 255, 1023, 4095, 16383, 65535)
SKIP = ", or set data.on_error=skip"
_NAMED = 100  # files in one error
RESIZES = ("crop", "stretch", "pad")
Decoded = TypeVar("Decoded")
Size = int | tuple[int, int]  # side of a square, or (height, width), in pixels


class Form(NamedTuple):
    """Size and color that every image is brought to, and how.

    Attributes:
        size: side of the square in pixels, or (height, width); None if it is not known yet.
        pixel_max: the value that counts as white in images of more than 8 bits; None takes it from each image's own
            values.
        resize: ``"crop"`` scales an image until it covers the size and cuts its center; ``"stretch"`` scales height
            and width separately; ``"pad"`` scales the image until it fits, and fills the rest with its own mean color.
        channels: 3, or 1 for luma (ITU-R 601).

    Example:
        >>> wide = Image.new("RGB", (20, 10), "red")
        >>> [Form((4, 6), resize=resize).fit(wide).size for resize in RESIZES]
        [(6, 4), (6, 4), (6, 4)]
        >>> [Form(8, resize=resize).shape(wide).size for resize in RESIZES]
        [(20, 10), (20, 20), (20, 20)]
    """

    size: Size | None = None
    pixel_max: float | None = None
    resize: str = "crop"
    channels: int = 3

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        assert self.size is not None
        return (self.channels, *(self.size if isinstance(self.size, Sequence) else (self.size, self.size)))

    def fit(self, image: Image.Image) -> Image.Image:
        """Bring an image in RGB, or gray, to ``size``, by ``resize``."""
        _, height, width = self.image_shape
        if self.resize == "stretch":
            return image.resize((width, height), Image.Resampling.BICUBIC)
        if self.resize == "pad":
            return ImageOps.pad(image, (width, height), Image.Resampling.BICUBIC, color=_mean_color(image))
        return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)

    def shape(self, image: Image.Image) -> Image.Image:
        """Bring a whole image to the aspect ratio of ``size``, by ``resize``, before random crops are taken from it.

        ``"crop"`` leaves the image as it is; ``"stretch"`` and ``"pad"`` make neither side shorter.
        """
        if self.resize == "crop":
            return image
        _, height, width = self.image_shape
        longer = max(image.width / width, image.height / height)
        return self._replace(size=(max(round(longer * height), 1), max(round(longer * width), 1))).fit(image)

    def pixels(self, image: Image.Image) -> Tensor:
        """The pixels of an image in RGB, (C, H, W), uint8."""
        if self.channels == 1:
            return torch.from_numpy(np.array(image.convert("L")))[None]
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def read_image(path: Path, form: Form) -> Tensor:
    """Decode a file, turn it upright, and bring it to the size and number of channels of a form.

    EXIF rotation is applied; transparent pixels become white; values of more than 8 bits are reduced to 8, see
    :func:`eight_bits`.

    Args:
        path: an image of any format that Pillow reads.
        form: the size and color that the image is brought to.

    Returns:
        (C, H, W), uint8.

    Raises:
        InputError: naming the file, if it is no image, is damaged, or is too large to be safe.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "wide.png")
        >>> Image.new("L", (20, 10), 255).save(file)
        >>> read_image(file, Form(8)).shape
        torch.Size([3, 8, 8])
    """
    return form.pixels(form.fit(open_rgb(path, form.pixel_max))).contiguous()


def decode_ahead(
    files: Iterable[Path], decode: Callable[[Path], Decoded], ahead: int | None = None, threads: int | None = None
) -> Iterator[Decoded | InputError]:
    """Decode files in threads, and yield the results in the order of the files.

    At most ``ahead`` results wait in memory, as images may be large.

    Args:
        files: the files.
        decode: function from a file to its decoded image.
        ahead: number of files that are decoded before their results are requested; None for twice ``threads``.
        threads: number of threads; None for the number of processors plus 4, but at most 32.

    Yields:
        What ``decode`` returns for a file, or the ``InputError`` that it raised.

    Example:
        >>> list(decode_ahead([Path("a.png"), Path("b.png")], lambda path: path.stem))
        ['a', 'b']
    """

    def attempt(path: Path) -> Decoded | InputError:
        try:
            return decode(path)
        except InputError as error:
            return error

    number = min(32, (os.cpu_count() or 1) + 4) if threads is None else threads
    waiting: deque[Future[Decoded | InputError]] = deque()
    with ThreadPoolExecutor(number) as pool:
        for file in files:
            waiting.append(pool.submit(attempt, file))
            if len(waiting) > (2 * number if ahead is None else ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _mean_color(image: Image.Image) -> Any:
    """A value of each channel; a number alone where there is one channel."""
    values = [round(value) for value in ImageStat.Stat(image).mean]
    return tuple(values) if len(values) > 1 else values[0]


def open_rgb(path: Path, pixel_max: float | None = None) -> Image.Image:
    """Decode a file, upright and in RGB, at its own size.

    Args:
        path: an image of any format that Pillow reads.
        pixel_max: the value that counts as white in images of more than 8 bits; None takes it from the image's values.

    Raises:
        InputError: as in :func:`read_image`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "gray.png")
        >>> Image.new("L", (20, 10)).save(file)
        >>> open_rgb(file).mode, open_rgb(file).size
        ('RGB', (20, 10))
    """
    if isinstance(path, Path) and os.path.exists(path) and not os.path.isfile(path):  # opening a named pipe would block
        raise InputError(f"{path}: is no regular file; remove it{SKIP}")
    try:
        with opened(path) as image:
            return to_rgb(_upright(image), pixel_max)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is no image; remove it{SKIP}") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}{SKIP}") from error
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise InputError(f"{path}: cannot be read ({error}); replace it{SKIP}") from error


def opened(file: Path) -> Image.Image:
    """Open an image file, or an encoded image that is stored in another file; only its header is read.

    Args:
        file: a path, or an object with a method ``read_bytes``, as of a path.
    """
    return Image.open(file if isinstance(file, Path) else io.BytesIO(file.read_bytes()))


def to_rgb(image: Image.Image, pixel_max: float | None = None) -> Image.Image:
    """Turn an image of any of Pillow's modes to RGB.

    Args:
        image: decoded.
        pixel_max: the value that counts as white in images of more than 8 bits; None takes it from the image's values.

    Raises:
        InputError: for values that :func:`eight_bits` refuses.

    Example:
        >>> to_rgb(Image.new("I;16", (1, 1), 4095)).getpixel((0, 0))
        (255, 255, 255)
    """
    if is_deep(image):
        image = eight_bits(image, pixel_max)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.mode in ("La", "RGBa"):  # colors multiplied by their opacity
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether a pixel has more than 8 bits: modes ``I``, ``I;16`` in any order of bytes, and ``F``."""
    return image.mode.startswith(("I", "F"))


def white(largest: float, floating: bool) -> float:
    """Guess the value of white from the largest value of an image.

    It is the smallest of 255, 1023, 4095, 16383 and 65535 that is at least ``largest``; for floats, 1 is possible too.

    Args:
        largest: the largest value, 65535 at most.
        floating: whether the values are floats.

    Example:
        >>> white(4000, floating=False), white(0.98, floating=True)
        (4095, 1)
    """
    return next(level for level in (FLOAT_WHITES if floating else INTEGER_WHITES) if largest <= level)


def eight_bits(image: Image.Image, pixel_max: float | None = None) -> Image.Image:
    """Reduce gray values of 16 or 32 bits, or floats, to 8 bits.

    Args:
        image: an image of mode ``I``, ``I;16`` or ``F``.
        pixel_max: the value that becomes 255; None takes it from the image's own values by :func:`white`.

    Raises:
        InputError: for values that are NaN, below 0, or above ``pixel_max`` or 65535; and for float images whose values
            are all at most 1 while ``pixel_max`` is above 1.

    Example:
        >>> np.asarray(eight_bits(Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32)))).tolist()
        [[0, 255]]
    """
    values = np.asarray(image)
    floating = values.dtype.kind == "f"
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= INTEGER_WHITES[-1]:
        raise InputError(
            f"holds values from {low:g} to {high:g}; only values from 0 to {INTEGER_WHITES[-1]} can be used: "
            "convert it to 8 or 16 bits"
        )
    level = white(high, floating) if pixel_max is None else pixel_max
    if high > level or (floating and level > 1 and 0 < high <= 1):
        raise InputError(
            f"holds values up to {high:g}, but {level:g} is the value of white in the other images; convert it, or set "
            "data.pixel_max to the value of white in all images of more than 8 bits"
        )
    if not floating:
        values = values.astype(np.int64) * 256 // (int(level) + 1)
    elif level != 255:
        values = (values * (255 / level)).round()
    return Image.fromarray(values.astype(np.uint8))


class UnusableFiles(InputError):
    """One error for all files that cannot be used.

    Args:
        errors: one error per file, at least one.

    Example:
        >>> UnusableFiles([InputError("a.png: is no image"), InputError("b.png: is no image")]).message
        '2 files cannot be used: a.png: is no image; b.png: is no image; replace them, or set data.on_error=skip'
    """

    def __init__(self, errors: Sequence[InputError]) -> None:
        self.errors = list(errors)
        shown = "; ".join(error.message.removesuffix(SKIP) for error in errors[:_NAMED])
        more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
        several = f"{len(errors)} files cannot be used: {shown}{more}; replace them{SKIP}"
        super().__init__(errors[0].message if len(errors) == 1 else several)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # so that a damaged file raises its own error
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be written back; only the orientation in it matters
        only = Image.Exif()
        only[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
        bare = image.copy()
        bare.info = {name: value for name, value in image.info.items() if name == "transparency"}
        bare.info["exif"] = only.tobytes()
        return ImageOps.exif_transpose(bare)
