"""Paths as people have them, in Hydra's grammar of overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from oponm.errors import check_path

_PATHS = (
    *("checkpoint", "folder", "data.root", "data.lists", "data.draw", "data.pack", "model.weights"),
    *("output_dir", "phase_cache", "resume", "logger.csv.save_dir", "logger.tensorboard.save_dir"),
)
_PLAIN = re.compile(r"[A-Za-z0-9_./:+@%?|-]+")


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quote the values of path settings that hold characters with a meaning in Hydra's grammar.

    A list such as ``data.draw=ldam,m2m`` stays a list: for settings other than ``output_dir`` the path must exist.

    Raises:
        InputError: for a path setting that is empty.

    Example:
        >>> quote_paths(["output_dir=runs (new)/a=1", "data.draw=ldam,m2m"])
        ['output_dir="runs (new)/a=1"', 'data.draw=ldam,m2m']
    """
    return [_quote(argument) for argument in arguments]


def _quote(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if equals and key.lstrip("+") in _PATHS and not key.startswith("~"):
        check_path(key.lstrip("+"), value.strip("\"'"))
    if key in _PATHS and value.startswith("~"):
        value = str(Path(value).expanduser())
        argument = f"{key}={value}"
    is_path = key in _PATHS and (key == "output_dir" or (value != "" and Path(value).expanduser().exists()))
    if not is_path or _PLAIN.fullmatch(value) or value[:1] in "\"'" or "${" in value:
        return argument
    # In Hydra's quotes a backslash is itself, unless quotes follow.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'{key}{equals}"{escaped}"'
