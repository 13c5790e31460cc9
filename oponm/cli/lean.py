"""Imports torchmetrics without the libraries for plots and audio that a run does not use.

``import torchmetrics`` also imports matplotlib, SciPy and torchvision, for metrics that are not used here: a second or
two of each command. Only the process of a command may skip them, as other programs may need them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

SPARED = ("matplotlib", "scipy", "torchvision")


class LeanTorchmetrics:
    """An import hook: torchmetrics finds none of :data:`SPARED` while it is imported; other imports find them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find torchmetrics, once."""
        if name != "torchmetrics":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            loader: Any = spec.loader
            execute = loader.exec_module

            def execute_leanly(module: ModuleType) -> None:
                with _spared():
                    execute(module)

            loader.exec_module = execute_leanly
        return spec


def import_leanly() -> None:
    """Import torchmetrics without :data:`SPARED` in this process; does nothing if it is imported already."""
    if "torchmetrics" not in sys.modules and not any(isinstance(hook, LeanTorchmetrics) for hook in sys.meta_path):
        sys.meta_path.insert(0, LeanTorchmetrics())


class Without:
    """A finder that wraps another one and finds none of :data:`SPARED`.

    Args:
        finder: a finder of ``sys.meta_path``.
    """

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module for an import."""
        return None if name in SPARED else self.finder.find_spec(name, path, target)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find installed distributions, for their versions."""
        find = getattr(self.finder, "find_distributions", None)
        return [] if context.name in SPARED or find is None else find(context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


@contextmanager
def _spared() -> Iterator[None]:
    """Hide the libraries from Lightning's utilities, which torchmetrics asks for them."""
    from lightning_utilities.core.imports import package_available

    before = list(sys.meta_path)
    sys.meta_path[:] = [Without(finder) for finder in before]
    try:
        yield
    finally:
        sys.meta_path[:] = before
        package_available.cache_clear()  # the answers are cached
