"""The recipes of the config group: functions from the image size to the augmentation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.data.augmentation.jitter import ColorJitter
from oponm.errors import InputError, check_int


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
        >>> import torch
        >>> flip_crop((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    check_int("padding", padding, minimum=0)
    return nn.Sequential(RandomHorizontalFlip(p=0.5), RandomCrop(image_size, padding=padding))


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


def imagenet(image_size: tuple[int, int], resized_crop: bool = False) -> nn.Module:
    """Horizontal flip with probability 1/2 and color jitter (0.4, 0.4, 0.4, 0), as usual for ImageNet-LT.

    Args:
        image_size: (H, W) of color images.
        resized_crop: whether to first cut a random 8 % to 100 % of each image's area, of aspect ratio 3/4 to 4/3, and
            scale it to ``image_size``. It is for sets in memory: with ``in_memory=False``, images are cropped in this
            way when they are decoded.

    Raises:
        InputError: in ``forward`` for images that are not of 3 channels.

    References:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019 (its published code); Szegedy et
        al., "Going Deeper with Convolutions", CVPR 2015 (the crop).

    Example:
        >>> import torch
        >>> imagenet((64, 64), resized_crop=True)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3, 64, 64])
    """
    from kornia.augmentation import RandomHorizontalFlip, RandomResizedCrop

    crop = [RandomResizedCrop(image_size, scale=(0.08, 1.0), cropping_mode="resample")] if resized_crop else []
    return nn.Sequential(*crop, RandomHorizontalFlip(p=0.5), ColorJitter(0.4, 0.4, 0.4, 0.0))


def simclr(image_size: tuple[int, int], padding: int = 4, cutout: int = 16) -> nn.Module:
    """The augmentation of the OPeN paper: flip and crop, SimCLR's colors and blur, and one Cutout.

    Color jitter (0.4, 0.4, 0.4, 0.1) has probability 0.8, grayscale 0.2, and Gaussian blur 0.5. The blur has a kernel
    of 3x3 pixels and a standard deviation of 0.1 to 2 pixels.

    Args:
        image_size: (H, W) of color images.
        padding: pixels of black added on each side before the crop.
        cutout: side of the square that is blacked out, in pixels.

    Raises:
        InputError: for a padding below 0, a Cutout below 1 or larger than the image; in ``forward`` for images that are
            not of 3 channels.

    References:
        Zada, Benou, Irani, ICML 2022, App. A; Chen et al., "A Simple Framework for Contrastive Learning of Visual
        Representations", ICML 2020.

    Example:
        >>> import torch
        >>> simclr((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    from kornia.augmentation import RandomGaussianBlur, RandomGrayscale

    return nn.Sequential(
        flip_crop(image_size, padding),
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        RandomGrayscale(p=0.2),
        RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5, separable=False),
        fitting_cutout(image_size, cutout),
    )
