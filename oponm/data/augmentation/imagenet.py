"""The usual augmentation of large photographs."""

from __future__ import annotations

from torch import nn

from oponm.data.augmentation.jitter import ColorJitter


def imagenet(image_size: tuple[int, int], resized_crop: bool = False) -> nn.Module:
    """Horizontal flip with probability 1/2 and color jitter (0.4, 0.4, 0.4, 0), as usual for ImageNet-LT.

    Args:
        image_size: (H, W) of color images.
        resized_crop: first cut 8 % to 100 % of each image's area, of ratio 3/4 to 4/3, and scale it to the image's
            size; for sets held in memory. Large sets are cropped while they are decoded.

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
