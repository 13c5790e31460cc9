"""Cutout: one black square per image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.data.augmentation.flip_crop import flip_crop
from oponm.errors import InputError, check_int


def cutout(image_size: tuple[int, int], padding: int = 4, cutout: int = 16) -> nn.Module:
    """Flip, crop and one Cutout.

    Args:
        image_size: (H, W).
        padding: pixels of black added on each side before the crop.
        cutout: side of the square that is blacked out, in pixels.

    Raises:
        InputError: for a padding below 0, or a Cutout below 1 or larger than the image.

    References:
        DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Example:
        >>> cutout((8, 8), cutout=4)(torch.ones(2, 1, 8, 8)).shape
        torch.Size([2, 1, 8, 8])
    """
    return nn.Sequential(flip_crop(image_size, padding), fitting_cutout(image_size, cutout))


class Cutout(nn.Module):
    """Black out one square per image, its center anywhere in the image, so that it may reach over the border.

    kornia's ``RandomErasing`` keeps the square inside the image, which is another augmentation.

    Args:
        side: side of the square, in pixels.

    Raises:
        InputError: for a side below 1.

    References:
        DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.

    Example:
        >>> Cutout(2)(torch.ones(1, 1, 8, 8)).sum() < 64
        tensor(True)
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = check_int("cutout", side, minimum=1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the images with a black square in each."""
        covered = (self._covered(len(images), length) for length in images.shape[2:])
        rows, columns = (positions.to(images.device, non_blocking=True) for positions in covered)
        return images * ~(rows[:, None, :, None] & columns[:, None, None, :])

    def _covered(self, number: int, length: int) -> Tensor:
        """The positions along one axis that the square covers, (number, length), bool."""
        start = torch.randint(length, (number, 1)) - self.side // 2
        positions = torch.arange(length)
        return (positions >= start) & (positions < start + self.side)


def fitting_cutout(image_size: tuple[int, int], side: int) -> Cutout:
    """Make a Cutout for images of a size.

    Raises:
        InputError: for a square that is larger than the image: it would often cover all of it.

    Example:
        >>> fitting_cutout((8, 8), 16)
        Traceback (most recent call last):
        oponm.errors.InputError: cutout must be at most the images' shorter side, 8 pixels, got 16
    """
    module = Cutout(side)
    if module.side > min(image_size):
        raise InputError(f"must be at most the images' shorter side, {min(image_size)} pixels, got {side}", "cutout")
    return module
