"""Quotes paths and sorts options, so that arguments fit Hydra's grammar of overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from oponm.errors import check_path

_PATHS = (
    *("checkpoint", "folder", "data.root", "data.lists", "data.draw", "data.pack", "model.weights"),
    *("data.split", "data.table"),
    *("output_dir", "phase_cache", "resume", "logger.csv.save_dir", "logger.tensorboard.save_dir"),
)
_TEXTS = ("data.groups",)  # of characters that have a meaning in Hydra's grammar
_TAKING = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
_PLAIN = re.compile(r"[A-Za-z0-9_./:+@%?|-]+")


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quote the values of path settings, and of regular expressions, for the characters that mean something to Hydra.

    A list such as ``data.draw=ldam,m2m`` stays a list, except for ``output_dir``, unless a path of that name exists.

    Raises:
        InputError: for an empty path setting.

    Example:
        >>> quote_paths(["output_dir=runs (new)/a=1", "data.draw=ldam,m2m"])
        ['output_dir="runs (new)/a=1"', 'data.draw=ldam,m2m']
    """
    return [_quote(argument) for argument in arguments]


def options_first(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate Hydra's options, with their values, from overrides; its parser ends the overrides at an option.

    Returns:
        The options, and the overrides, each in order.

    Example:
        >>> options_first(["seed=1", "--config-dir", "mine", "model=net", "-m", "--info"])
        (['--config-dir', 'mine', '-m', '--info'], ['seed=1', 'model=net'])
    """
    options, overrides, remaining = list[str](), list[str](), list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        options.append(argument)
        takes = argument in _TAKING or (argument in ("--info", "-i") and remaining[:1] and "=" not in remaining[0])
        if takes and remaining and not remaining[0].startswith("-"):
            options.append(remaining.pop(0))
    return options, overrides


def _quote(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if key in _TEXTS and value not in ("", "null") and value[:1] not in "\"'":
        return f"{key}={in_quotes(value)}"
    if equals and key.lstrip("+") in _PATHS and not key.startswith("~"):
        check_path(key.lstrip("+"), value.strip("\"'"))
    if key in _PATHS and value.startswith("~"):
        value = str(Path(value).expanduser())
        argument = f"{key}={value}"
    is_path = key in _PATHS and (key == "output_dir" or (value != "" and Path(value).expanduser().exists()))
    if not is_path or _PLAIN.fullmatch(value) or value[:1] in "\"'" or "${" in value:
        return argument
    return f"{key}{equals}{in_quotes(value)}"


def in_quotes(value: str) -> str:
    """Quote a value as one text in Hydra's grammar.

    Example:
        >>> in_quotes("two, or three")
        '"two, or three"'
    """
    # In Hydra's quotes a backslash is literal, unless quotes follow.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'"{escaped}"'
