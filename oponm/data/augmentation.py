"""Augmentation of whole batches on the device; every image of a batch gets randomness of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.errors import check_int


def no_augmentation(image_size: tuple[int, int]) -> nn.Module:
    """Leave images as they are.

    Args:
        image_size: (H, W).

    Example:
        >>> no_augmentation((32, 32))
        Identity()
    """
    return nn.Identity()


def flip_crop(image_size: tuple[int, int], padding: int = 4) -> nn.Module:
    """Horizontal flip with probability 1/2, then a crop of the padded image at its own size.

    Args:
        image_size: (H, W).
        padding: pixels of black added on each side before the crop.

    Raises:
        InputError: for a padding below 0.

    References:
        He et al., CVPR 2016, Sec. 4.2.

    Example:
        >>> flip_crop((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    check_int("padding", padding, minimum=0)
    return nn.Sequential(RandomHorizontalFlip(p=0.5), RandomCrop(image_size, padding=padding))


def simclr(image_size: tuple[int, int], padding: int = 4, cutout: int = 16) -> nn.Module:
    """The publication's full recipe: flip and crop, one Cutout, and SimCLR's colours and blur.

    Colour jitter (0.4, 0.4, 0.4, 0.1) with probability 0.8, greyscale with 0.2, Gaussian blur of 3x3 pixels with a
    deviation of 0.1 to 2 with 0.5.

    Args:
        image_size: (H, W) of colour images.
        padding: pixels of black added on each side before the crop.
        cutout: side of the square that is blacked out, in pixels.

    Raises:
        InputError: for a padding below 0, or a Cutout below 1.

    References:
        Zada, Benou, Irani, ICML 2022, App. A; Chen et al., "A Simple Framework for Contrastive Learning of Visual
        Representations", ICML 2020.

    Example:
        >>> simclr((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    from kornia.augmentation import ColorJitter, RandomGaussianBlur, RandomGrayscale

    return nn.Sequential(
        flip_crop(image_size, padding),
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        RandomGrayscale(p=0.2),
        RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
        Cutout(cutout),
    )


class Cutout(nn.Module):
    """Black out one square an image, its centre anywhere in the image, so that it may reach over the border.

    kornia's ``RandomErasing`` keeps the square inside the image, which is another augmentation.

    Args:
        side: of the square, in pixels.

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
        """(N, C, H, W) -> the same with a black square in each image."""
        rows, columns = (self._covered(len(images), length) for length in images.shape[2:])
        square = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(square.to(images.device), 0)

    def _covered(self, number: int, length: int) -> Tensor:
        """Which positions along one axis the square covers, (number, length)."""
        start = torch.randint(length, (number, 1)) - self.side // 2
        positions = torch.arange(length)
        return (positions >= start) & (positions < start + self.side)
