"""The operations that AutoAugment and RandAugment choose from, with a strength for each image.

An operation takes images (N, 3, H, W) in [0, 1] and strengths (N,) in [-1, 1] and returns new images in [0, 1].
Strength 0 leaves an image as it is and 1 is the maximum of the published range; the sign is the direction, if there is
one. Where the two publications say nothing, the operations are those of torchvision: nearest-neighbor interpolation,
black fill, shear around the top left corner. (kornia's policies differ in some: additive brightness, shear of up to 54
degrees, one fixed direction.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from oponm.errors import InputError


def apply_to_rows(images: Tensor, rows: Tensor, function: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> None:
    """Replace some images of a batch by a function of them, in place.

    Args:
        images: (N, C, H, W).
        rows: indices of the images, int64, on the CPU, so that their number is known without waiting for the device.
        function: from the R images, (R, C, H, W), and their values, (R,), to new images, (R, C, H, W).
        values: a value for each image of the batch, (N,), on the images' device.

    Example:
        >>> import torch
        >>> images = torch.ones(3, 1, 1, 1)
        >>> apply_to_rows(images, torch.tensor([2]), lambda x, v: x + v[:, None, None, None], torch.arange(3))
        >>> images.flatten()
        tensor([1., 1., 3.])
    """
    if len(rows):
        rows = rows.to(images.device, non_blocking=True)
        images.index_copy_(0, rows, function(images[rows], values[rows]))


def check_color(images: Tensor) -> None:
    """Refuse images that are not in color.

    Raises:
        InputError: for other than three channels.

    Example:
        >>> import torch
        >>> check_color(torch.zeros(2, 1, 8, 8))
        Traceback (most recent call last):
        oponm.errors.InputError: augmentation needs color images of 3 channels, got 1; choose none, flip_crop or cutout
    """
    if images.shape[1] != 3:
        raise InputError(
            f"needs color images of 3 channels, got {images.shape[1]}; choose none, flip_crop or cutout",
            "augmentation",
        )


SHEAR, TRANSLATE, ROTATE, BLEND = 0.3, 150 / 331, math.radians(30), 0.9


def _warp(images: Tensor, *entries: Tensor | float) -> Tensor:
    """Read each pixel from the position that its image's matrix gives; six entries, in units of half the image."""
    matrix = images.new_empty(len(images), 6)
    for column, entry in enumerate(entries):
        matrix[:, column] = entry
    grid = affine_grid(matrix.view(-1, 2, 3), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _enhance(name: str) -> Callable[..., Tensor]:
    """A function of kornia, whose import takes long."""
    from kornia import enhance

    return getattr(enhance, name)


def shear_x(images: Tensor, strengths: Tensor) -> Tensor:
    """Shift each row to the side by up to 0.3 times its distance from the top."""
    slope = SHEAR * strengths * images.shape[2] / images.shape[3]
    return _warp(images, 1, slope, slope, 0, 1, 0)


def shear_y(images: Tensor, strengths: Tensor) -> Tensor:
    """Shift each column up or down by up to 0.3 times its distance from the left edge."""
    slope = SHEAR * strengths * images.shape[3] / images.shape[2]
    return _warp(images, 1, 0, 0, slope, 1, slope)


def translate_x(images: Tensor, strengths: Tensor) -> Tensor:
    """Shift to the side by whole pixels, by up to 150/331 of the width."""
    pixels = torch.trunc(TRANSLATE * images.shape[3] * strengths)
    return _warp(images, 1, 0, -2 * pixels / images.shape[3], 0, 1, 0)


def translate_y(images: Tensor, strengths: Tensor) -> Tensor:
    """Shift up or down by whole pixels, by up to 150/331 of the height."""
    pixels = torch.trunc(TRANSLATE * images.shape[2] * strengths)
    return _warp(images, 1, 0, 0, 0, 1, -2 * pixels / images.shape[2])


def rotate(images: Tensor, strengths: Tensor) -> Tensor:
    """Turn around the center by up to 30 degrees."""
    sine, cosine = torch.sin(ROTATE * strengths), torch.cos(ROTATE * strengths)
    ratio = images.shape[2] / images.shape[3]
    return _warp(images, cosine, -sine * ratio, 0, sine / ratio, cosine, 0)


def brightness(images: Tensor, strengths: Tensor) -> Tensor:
    """Multiply the values by a factor in [0.1, 1.9]."""
    return _enhance("adjust_brightness_accumulative")(images, 1 + BLEND * strengths)


def color(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend each image with its grayscale version, factor in [0.1, 1.9]."""
    return _enhance("adjust_saturation_with_gray_subtraction")(images, 1 + BLEND * strengths)


def contrast(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend each image with its own mean gray value, factor in [0.1, 1.9]."""
    return _enhance("adjust_contrast_with_mean_subtraction")(images, 1 + BLEND * strengths)


def sharpness(images: Tensor, strengths: Tensor) -> Tensor:
    """Blend each image with its smoothed version, factor in [0.1, 1.9]."""
    return _enhance("sharpness")(images, 1 + BLEND * strengths)


def posterize(images: Tensor, strengths: Tensor) -> Tensor:
    """Keep the most significant bits of each value: 8 at strength 0, 4 at strength 1 or -1."""
    return _enhance("posterize")(images, torch.round(8 - 4 * strengths.abs()).int())


def solarize(images: Tensor, strengths: Tensor) -> Tensor:
    """Invert the values at or above a threshold, which falls from 1 at strength 0 to 0 at strength 1 or -1."""
    return _enhance("solarize")(images, 1 - strengths.abs())


def auto_contrast(images: Tensor, strengths: Tensor) -> Tensor:
    """Stretch each channel to [0, 1]; a channel of a single value stays as it is."""
    from torchvision.transforms.v2.functional import autocontrast

    return autocontrast(images)


def equalize(images: Tensor, strengths: Tensor) -> Tensor:
    """Make each channel's histogram even."""
    return _enhance("equalize")(images)


def invert(images: Tensor, strengths: Tensor) -> Tensor:
    """Replace every value v by 1 - v."""
    return 1 - images


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    function.__name__: function
    for function in (
        *(shear_x, shear_y, translate_x, translate_y, rotate),
        *(brightness, color, contrast, sharpness),
        *(posterize, solarize, auto_contrast, equalize, invert),
    )
}
