"""Definitions of this package as a file that needs none of it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

_PACKAGE = __name__.partition(".")[0]


def standalone_source(wanted: Iterable[Any]) -> str:
    """The source of functions and classes of this package, with all of it that they use.

    What they take from elsewhere is imported as in their own modules; docstrings are cut to their first line.

    Args:
        wanted: functions and classes, each defined at the top level of a module of this package.

    Returns:
        A module: imports, then definitions, each behind those that it uses.

    Raises:
        ValueError: if two modules give different things the same name.

    Example:
        >>> from oponm.models import SmallCNN
        >>> source = standalone_source([SmallCNN])
        >>> "import oponm" in source or "from oponm" in source
        False
        >>> names = {}
        >>> exec(source, names)
        >>> names["SmallCNN"](num_classes=3).fc.out_features
        3
    """
    collected = _Collected()
    for each in wanted:
        collected.add(import_module(each.__module__), each.__name__)
    imports = "\n".join(["from __future__ import annotations", "", *collected.imports])
    return "\n\n\n".join([imports, *collected.definitions.values()]) + "\n"


class _Collected:
    """Definitions by module and name, in an order in which they can be run, and the imports that they need."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.definitions: dict[tuple[str, str], str] = {}

    def add(self, module: ModuleType, name: str) -> None:
        if (module.__name__, name) in self.definitions:
            return
        if name in (known for _, known in self.definitions):
            raise ValueError(f"{name} of {module.__name__} has the name of something else that is needed")
        source = inspect.getsource(module)
        tree = ast.parse(source)
        node = next(node for node in tree.body if name in _defined(node))
        self.definitions[module.__name__, name] = ""  # so that two that use each other come to an end
        local = {name for node in tree.body for name in _defined(node)}
        imported = {
            alias.asname or alias.name: (statement, alias)
            for statement in tree.body
            if isinstance(statement, (ast.Import, ast.ImportFrom))
            for alias in statement.names
        }
        for used in dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name)):
            if used in imported:
                self._import(*imported[used])
            elif used in local and used != name:
                self.add(module, used)
        del self.definitions[module.__name__, name]  # to come behind what it uses
        self.definitions[module.__name__, name] = _text(source, node)

    def _import(self, statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).partition(".")[0] == _PACKAGE:
            self.add(import_module(str(statement.module)), alias.name)
        elif isinstance(statement, ast.ImportFrom):
            self.imports[ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))] = None
        else:
            self.imports[ast.unparse(ast.Import([alias]))] = None


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return (
        [target.id for target in node.targets if isinstance(target, ast.Name)] if isinstance(node, ast.Assign) else []
    )


def _text(source: str, node: ast.stmt) -> str:
    """The lines of a definition, comments included; of docstrings the first line alone."""
    lines: list[str | None] = list(source.splitlines())
    first = min([node.lineno, *(line.lineno for line in getattr(node, "decorator_list", []))])
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and (text := ast.get_docstring(part)):
            place = part.body[0]
            quotes = "r" if "\\" in text.splitlines()[0] else ""
            lines[place.lineno - 1] = f'{" " * place.col_offset}{quotes}"""{text.splitlines()[0]}"""'
            lines[place.lineno : place.end_lineno] = [None] * (int(place.end_lineno or 0) - place.lineno)
    return "\n".join(line for line in lines[first - 1 : node.end_lineno] if line is not None)
