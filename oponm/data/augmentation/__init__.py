"""Augmentation of whole batches on the device; every image of a batch gets its own random draws.

A choice of the config group ``augmentation`` is a function from the image size (H, W) to a module. The module takes and
returns images (N, C, H, W) in [0, 1]. Parameters are drawn on the CPU from torch's global generator and then moved to
the images' device. So drawing does not wait for the accelerator, and CPU and accelerator use the same draws.
"""

from oponm.data.augmentation.jitter import ColorJitter, adjust_hue
from oponm.data.augmentation.policies import AutoAugment, RandAugment, autoaugment, randaugment
from oponm.data.augmentation.recipes import Cutout, cutout, flip_crop, imagenet, no_augmentation, simclr

__all__ = [
    "AutoAugment",
    "ColorJitter",
    "Cutout",
    "RandAugment",
    "adjust_hue",
    "autoaugment",
    "cutout",
    "flip_crop",
    "imagenet",
    "no_augmentation",
    "randaugment",
    "simclr",
]
