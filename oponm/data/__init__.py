"""Image sources, samplers, the device pipeline, and the LightningDataModules made of them."""

from oponm.data.cifar import CifarLT
from oponm.data.digits import DigitsLT
from oponm.data.image_folder import ImageFolderLT
from oponm.data.module import LongTailDataModule
from oponm.data.source import Pool, Source

__all__ = ["CifarLT", "DigitsLT", "ImageFolderLT", "LongTailDataModule", "Pool", "Source"]
