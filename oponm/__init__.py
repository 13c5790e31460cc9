"""Oversampling with pure noise images (OPeN) and distribution-aware routing batch norm (DAR-BN).

The library is in :mod:`oponm.nn`, :mod:`oponm.noise`, :mod:`oponm.longtail` and :mod:`oponm.rng`; each is imported when
first used, so that ``import oponm`` costs nothing. The experiment framework around it is started by ``oponm train``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["__version__", "longtail", "nn", "noise", "rng"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"oponm.{name}")
    raise AttributeError(f"module 'oponm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
