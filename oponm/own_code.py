"""Finds the user's own code that a run executes: its files and their digests."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_read: dict[str, tuple[Any, tuple[str, list[str]]]] = {}  # by module: its spec, and the result at that time


class UnknownCode(Exception):
    """Raised if the user's own code cannot be determined, such as code of a notebook, which is in no file."""


def targets(settings: Any) -> Iterator[str]:
    """Find the values of all ``_target_`` keys in settings, at any depth.

    Args:
        settings: a config, a part of one, or plain values: a dict, a list or a scalar.

    Example:
        >>> list(targets({"loss": {"_target_": "my_losses.Focal"}, "callbacks": [{"_target_": "mine.Watch"}]}))
        ['my_losses.Focal', 'mine.Watch']
    """
    if isinstance(settings, Mapping):
        if isinstance(name := settings.get("_target_"), str):
            yield name
        settings = list(settings.values())
    if isinstance(settings, Sequence) and not isinstance(settings, str):
        for value in settings:
            yield from targets(value)


def own_code(names: Iterable[str]) -> dict[str, str]:
    """Find the user's own modules that define the given names, and all own modules that these import.

    A module is the user's own if it is not part of this package or of Python, and is not installed. Imports inside
    functions are followed too, and so are calls of ``importlib.import_module`` with a literal name.

    Args:
        names: full names of modules, or of objects in them.

    Returns:
        Dict from a module's name to the SHA-256 of its file. For a module that is already imported, the hash is
        computed by the first call and kept: later edits of the file do not change the code that this process runs.

    Raises:
        UnknownCode: naming code that is in no file, or that imports by a computed name.

    Example:
        >>> own_code(["torch.optim.SGD", "oponm.losses.Focal", "json"])
        {}
    """
    found: dict[str, str] = {}
    waiting = [module for name in names for module in _own_modules(name)]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module], imported = _look(module)
            waiting += [own for name in imported for own in _own_modules(name)]
    return dict(sorted(found.items()))


def _own_modules(name: str) -> Iterator[str]:
    """The user's own modules in a full name: its packages, and the module itself."""
    if name.partition(".")[0] in ("__main__", "__mp_main__"):
        yield "__main__"
        return
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        spec = _spec(module)
        if spec is None:
            return
        if spec.origin and _is_own(module, Path(spec.origin)):
            yield module


def _is_own(module: str, file: Path) -> bool:
    if module.partition(".")[0] == _PACKAGE:
        return False
    file = file.resolve()
    return not any(file.is_relative_to(folder) for folder in _INSTALLED)


def _spec(module: str) -> ModuleSpec | None:
    """The spec of a module, found without importing it; its origin is None if it is not in a file."""
    loaded = sys.modules.get(module)
    package = module.rpartition(".")[0]
    if loaded is not None:
        spec = ModuleSpec(module, None, origin=getattr(loaded, "__file__", None))
        spec.submodule_search_locations = list(getattr(loaded, "__path__", []))
        return spec
    above = _spec(package) if package else None
    folders = list(above.submodule_search_locations or []) if above else None
    found = PathFinder.find_spec(module, folders) if folders or not package else None
    if found is not None and not found.has_location:  # a package without an __init__.py, or a built-in module
        found.origin = None
    return found


def _look(module: str) -> tuple[str, list[str]]:
    """The digest of a module's file, and the names that it imports."""
    loaded = sys.modules.get(module)
    version = getattr(loaded, "__spec__", None) or loaded  # a new object after each reload
    if loaded is not None and module in _read and _read[module][0] is version:
        return _read[module][1]
    spec = _spec(module)
    file = getattr(loaded, "__file__", None) if loaded is not None else spec.origin if spec else None
    try:
        content = Path(file or "").read_bytes()
    except OSError as error:
        raise UnknownCode(f"the code of {module} is in no file") from error
    seen = hashlib.sha256(content).hexdigest(), list(_imports(content, module, str(file)))
    if loaded is not None:
        _read[module] = version, seen
    return seen


def _imports(content: bytes, module: str, file: str) -> Iterator[str]:
    if not file.endswith(".py"):  # compiled
        return
    package = module if Path(file).name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # edited after it was imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            if not (node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)):
                raise UnknownCode(f"{module} imports by a name that is computed at run time")
            yield node.args[0].value.lstrip(".")


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
