"""Makes names and values safe to show as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def printable(text: str) -> str:
    r"""Text as one line without control characters.

    Args:
        text: any text.

    Returns:
        Text of the same length; characters that are not printable become spaces.

    Example:
        >>> printable("a\nb\x1b[1m")
        'a b [1m'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def shortened(name: str, most: int = 24) -> str:
    """A name as one line of at most so many characters, with an ellipsis in place of what is cut off.

    Args:
        name: any text.
        most: largest number of characters.

    Example:
        >>> shortened("trumpeter swan"), shortened("trumpeter swan", 8)
        ('trumpeter swan', 'trumpet…')
    """
    shown = printable(name)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def value_text(value: Any) -> str:
    """A setting's value in the command line's form; equal numbers give equal texts.

    Args:
        value: a plain value, as in YAML.

    Returns:
        One line.

    Example:
        >>> value_text([True, None, 50.0, {"epochs": 0.5}])
        '[true,null,50,{epochs:0.5}]'
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(value_text, value)) + "]"
    return printable(str(value))
