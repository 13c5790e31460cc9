"""Image sources, samplers, the device pipeline, and the LightningDataModules made of them.

Each data set is imported when first asked for, as some bring libraries that the others do without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oponm.data.celeba import CelebA5
    from oponm.data.check import DataCheck, check_data
    from oponm.data.cifar import CifarLT
    from oponm.data.datasets import DatasetLT
    from oponm.data.digits import DigitsLT
    from oponm.data.image_folder import ImageFolderLT
    from oponm.data.list_lt import ImageNetLT, PlacesLT
    from oponm.data.module import LongTailDataModule
    from oponm.data.source import Pool, Source

__all__ = [
    "CelebA5",
    "CifarLT",
    "DataCheck",
    "DatasetLT",
    "DigitsLT",
    "ImageFolderLT",
    "ImageNetLT",
    "LongTailDataModule",
    "PlacesLT",
    "Pool",
    "Source",
    "check_data",
]
_HOMES = {
    "CelebA5": "celeba",
    "CifarLT": "cifar",
    "DataCheck": "check",
    "DatasetLT": "datasets",
    "DigitsLT": "digits",
    "ImageFolderLT": "image_folder",
    "ImageNetLT": "list_lt",
    "LongTailDataModule": "module",
    "PlacesLT": "list_lt",
    "Pool": "source",
    "Source": "source",
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
