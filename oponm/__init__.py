"""Oversampling with pure noise images (OPeN) and distribution-aware routing batch norm (DAR-BN).

:mod:`oponm.nn`, :mod:`oponm.noise`, :mod:`oponm.longtail` and :mod:`oponm.rng` are a library for any PyTorch program.
``oponm train`` and :func:`oponm.fit` run whole experiments with it, through Lightning. Each submodule is imported on
first use, so that ``import oponm`` is fast.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Run",
    "__version__",
    "data",
    "errors",
    "fit",
    "inference",
    "longtail",
    "losses",
    "metrics",
    "models",
    "nn",
    "noise",
    "report",
    "rng",
    "training",
]
_OF_TRAINING = ("Run", "fit")


def __getattr__(name: str) -> Any:
    if name in _OF_TRAINING:
        return getattr(importlib.import_module("oponm.training"), name)
    if name in __all__:
        return importlib.import_module(f"oponm.{name}")
    raise AttributeError(f"module 'oponm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
