"""What a run does not use is not imported: torchmetrics without the libraries that it draws and listens with.

Beside the metrics used here, ``import torchmetrics`` brings in matplotlib, SciPy and torchvision for others of its
metrics: a second or two of each command, which only its process may spare, as another's may want them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
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


@contextmanager
def _spared() -> Iterator[None]:
    """Let Lightning's utilities, which torchmetrics asks, say that the libraries are not there."""
    from lightning_utilities.core import imports

    def hiding(ask: Callable[[str], Any], absent: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda name: absent(name) if name in SPARED else ask(name)

    def not_found(name: str) -> None:
        raise PackageNotFoundError(name)

    # Under another name in another version, they are not hidden, and all is imported: slower, and as right.
    answers = {"_version": not_found, "package_available": lambda name: False}
    before = {name: getattr(imports, name) for name in answers if hasattr(imports, name)}
    try:
        for name, ask in before.items():
            setattr(imports, name, hiding(ask, answers[name]))
        yield
    finally:
        for name, ask in before.items():
            setattr(imports, name, ask)
