"""Image sources, samplers, the device pipeline, and the LightningDataModules made of them."""

from oponm.data.celeba import CelebA5
from oponm.data.cifar import CifarLT
from oponm.data.digits import DigitsLT
from oponm.data.image_folder import ImageFolderLT
from oponm.data.list_lt import ImageNetLT, PlacesLT
from oponm.data.module import LongTailDataModule
from oponm.data.source import Pool, Source

__all__ = [
    "CelebA5",
    "CifarLT",
    "DigitsLT",
    "ImageFolderLT",
    "ImageNetLT",
    "LongTailDataModule",
    "PlacesLT",
    "Pool",
    "Source",
]
