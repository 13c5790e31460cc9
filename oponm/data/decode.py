"""From an image file to RGB pixels of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from oponm.errors import InputError


def read_image(path: Path, size: int) -> Tensor:
    """Decode a file, turn it upright and to RGB, scale its short side to ``size`` and cut the centre square.

    EXIF rotation is applied; transparency is laid on white; 16-bit greyscale is reduced to 8 bits.

    Args:
        path: an image of any format that Pillow reads.
        size: side of the result in pixels.

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
    image = ImageOps.fit(open_rgb(path), (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def open_rgb(path: Path) -> Image.Image:
    """Decode a file, upright and in RGB, at its own size.

    Raises:
        InputError: see :func:`read_image`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "grey.png")
        >>> Image.new("L", (20, 10)).save(file)
        >>> open_rgb(file).mode, open_rgb(file).size
        ('RGB', (20, 10))
    """
    try:
        with Image.open(path) as opened:
            return _to_rgb(_upright(opened))
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is no image; remove it, or set data.on_error=skip") from error
    except Exception as error:  # whatever a damaged file makes a decoder say
        raise InputError(f"{path}: cannot be read ({error}); replace it, or set data.on_error=skip") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF that cannot be written back; of it the orientation alone matters
        only = Image.Exif()
        only[ExifTags.Base.Orientation] = image.getexif()[ExifTags.Base.Orientation]
        bare = image.copy()
        bare.info = {name: value for name, value in image.info.items() if name == "transparency"}
        bare.info["exif"] = only.tobytes()
        return ImageOps.exif_transpose(bare)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
