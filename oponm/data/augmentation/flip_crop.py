"""The plain augmentation of the field, and no augmentation."""

from __future__ import annotations

from torch import nn

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
        >>> import torch
        >>> flip_crop((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    check_int("padding", padding, minimum=0)
    return nn.Sequential(RandomHorizontalFlip(p=0.5), RandomCrop(image_size, padding=padding))
