"""Image sources, samplers, the device pipeline, and the LightningDataModules made of them.

Each data set is imported when it is first used, as some need libraries that the others do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oponm.data.check import DataCheck, check_data
    from oponm.data.module import LongTailDataModule
    from oponm.data.sources.base import Images, Pool, Source
    from oponm.data.sources.celeba import CelebA5
    from oponm.data.sources.cifar import CifarLT
    from oponm.data.sources.datasets import DatasetLT
    from oponm.data.sources.digits import DigitsLT
    from oponm.data.sources.huggingface import HuggingFaceLT
    from oponm.data.sources.image_folder import ImageFolderLT
    from oponm.data.sources.list_lt import ImageNetLT, INaturalist2018, PlacesLT
    from oponm.data.sources.table import TableLT

__all__ = [
    "CelebA5",
    "CifarLT",
    "DataCheck",
    "DatasetLT",
    "DigitsLT",
    "HuggingFaceLT",
    "INaturalist2018",
    "ImageFolderLT",
    "ImageNetLT",
    "Images",
    "LongTailDataModule",
    "PlacesLT",
    "Pool",
    "Source",
    "TableLT",
    "check_data",
]
_HOMES = {
    "CelebA5": "sources.celeba",
    "CifarLT": "sources.cifar",
    "DataCheck": "check",
    "DatasetLT": "sources.datasets",
    "DigitsLT": "sources.digits",
    "HuggingFaceLT": "sources.huggingface",
    "INaturalist2018": "sources.list_lt",
    "ImageFolderLT": "sources.image_folder",
    "ImageNetLT": "sources.list_lt",
    "Images": "sources.base",
    "LongTailDataModule": "module",
    "PlacesLT": "sources.list_lt",
    "Pool": "sources.base",
    "Source": "sources.base",
    "TableLT": "sources.table",
    "check_data": "check",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oponm.data' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"oponm.data.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
