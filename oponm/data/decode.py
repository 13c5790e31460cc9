"""Decodes an image file to RGB pixels of one size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from oponm.errors import InputError

INTEGER_WHITES = (255, 1023, 4095, 16383, 65535)  # the largest values of 8, 10, 12, 14 and 16 bits
FLOAT_WHITES = (1, 255, 1023, 4095, 16383, 65535)
SKIP = ", or set data.on_error=skip"
_NAMED = 100  # files in one error


def read_image(path: Path, size: int, pixel_max: float | None = None) -> Tensor:
    """Decode a file, turn it upright and to RGB, scale its short side to ``size`` and cut the center square.

    EXIF rotation is applied; transparency is laid on white; values of more than 8 bits are reduced to 8, see
    :func:`eight_bits`.

    Args:
        path: an image of any format that Pillow reads.
        size: side of the result in pixels.
        pixel_max: the value that is white in images of more than 8 bits; None takes it from the image's own values.

    Returns:
        (3, size, size), uint8.

    Raises:
        InputError: naming the file, if it is no image, is damaged, or is too large to be safe.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "wide.png")
        >>> Image.new("L", (20, 10), 255).save(file)
        >>> read_image(file, 8).shape
        torch.Size([3, 8, 8])
    """
    image = ImageOps.fit(open_rgb(path, pixel_max), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def open_rgb(path: Path, pixel_max: float | None = None) -> Image.Image:
    """Decode a file, upright and in RGB, at its own size.

    Args:
        path: an image, see :func:`read_image`.
        pixel_max: the value that is white in images of more than 8 bits, see :func:`read_image`.

    Raises:
        InputError: as in :func:`read_image`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "grey.png")
        >>> Image.new("L", (20, 10)).save(file)
        >>> open_rgb(file).mode, open_rgb(file).size
        ('RGB', (20, 10))
    """
    if os.path.exists(path) and not os.path.isfile(path):  # opening a named pipe would block
        raise InputError(f"{path}: is no regular file; remove it{SKIP}")
    try:
        with Image.open(path) as opened:
            return to_rgb(_upright(opened), pixel_max)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is no image; remove it{SKIP}") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}{SKIP}") from error
    except Exception as error:  # a damaged file can raise anything in a decoder
        raise InputError(f"{path}: cannot be read ({error}); replace it{SKIP}") from error


def to_rgb(image: Image.Image, pixel_max: float | None = None) -> Image.Image:
    """Turn an image of any of Pillow's modes to RGB.

    Args:
        image: decoded.
        pixel_max: the value that is white in images of more than 8 bits, see :func:`read_image`.

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
    """The value that is taken as white, given the largest value of an image.

    It is the smallest of 255, 1023, 4095, 16383 and 65535 that is not exceeded; for floats, 1 is also possible.

    Example:
        >>> white(4000, floating=False), white(0.98, floating=True)
        (4095, 1)
    """
    return next(level for level in (FLOAT_WHITES if floating else INTEGER_WHITES) if largest <= level)


def eight_bits(image: Image.Image, pixel_max: float | None = None) -> Image.Image:
    """Reduce gray values of 16 or 32 bits, or floats, to 8 bits.

    Args:
        image: an image of mode ``I``, ``I;16`` or ``F``.
        pixel_max: the value that becomes 255; None is :func:`white` of the image's own values.

    Raises:
        InputError: for values below 0, above ``pixel_max`` or 65535, or that are no numbers; and for floats up to 1
            if larger ones are expected.

    Example:
        >>> np.asarray(eight_bits(Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32)))).tolist()
        [[0, 255]]
    """
    values = np.asarray(image)
    floating = values.dtype.kind == "f"
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= INTEGER_WHITES[-1]:
        raise InputError(
            f"holds values from {low:g} to {high:g}, and only such from 0 to {INTEGER_WHITES[-1]} can be used; "
            "convert it to 8 or 16 bits"
        )
    level = white(high, floating) if pixel_max is None else pixel_max
    if high > level or (floating and level > 1 and 0 < high <= 1):
        raise InputError(
            f"holds values up to {high:g}, but {level:g} is white in the other images; convert it, or set "
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
