"""The publication's full recipe."""

from __future__ import annotations

from torch import nn

from oponm.data.augmentation.cutout import fitting_cutout
from oponm.data.augmentation.flip_crop import flip_crop
from oponm.data.augmentation.jitter import ColorJitter


def simclr(image_size: tuple[int, int], padding: int = 4, cutout: int = 16) -> nn.Module:
    """The publication's full recipe: flip and crop, one Cutout, and SimCLR's colors and blur.

    Color jitter (0.4, 0.4, 0.4, 0.1) with probability 0.8, grayscale with 0.2, Gaussian blur of 3x3 pixels with a
    deviation of 0.1 to 2 with 0.5.

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
