"""What a run does not use is not imported: torchmetrics without the libraries that it draws and listens with.

Beside the metrics used here, ``import torchmetrics`` brings in matplotlib, SciPy and torchvision for others of its
metrics: a second or two of each command, which only its process may spare, as another's may want them.
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
    """An import hook: when torchmetrics is imported, it finds none of :data:`SPARED`; each can be imported as ever."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for torchmetrics, once."""
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
    """Spare this process what torchmetrics would import beside itself; nothing happens if it is there already."""
    if "torchmetrics" not in sys.modules and not any(isinstance(hook, LeanTorchmetrics) for hook in sys.meta_path):
        sys.meta_path.insert(0, LeanTorchmetrics())


class Without:
    """A finder of modules and distributions that finds none of :data:`SPARED`, in place of another.

    Args:
        finder: one of ``sys.meta_path``.
    """

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, for an import."""
        return None if name in SPARED else self.finder.find_spec(name, path, target)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find what is installed, for a version."""
        find = getattr(self.finder, "find_distributions", None)
        return [] if context.name in SPARED or find is None else find(context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


@contextmanager
def _spared() -> Iterator[None]:
    """Let Lightning's utilities, which torchmetrics asks, find none of the libraries."""
    from lightning_utilities.core.imports import package_available

    before = list(sys.meta_path)
    sys.meta_path[:] = [Without(finder) for finder in before]
    try:
        yield
    finally:
        sys.meta_path[:] = before
        package_available.cache_clear()  # it remembers what it was told
