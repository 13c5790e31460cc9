"""The error for mistakes that the user can correct: it names the key or the file and the remedy."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from pathlib import Path

BAD_INPUT = 2  # the command line's exit code for an InputError


class InputError(ValueError):
    """A setting, a file or a data set that cannot be used.

    The command line prints it in one line and ends with exit code 2; in a program it is a ``ValueError``.

    Args:
        message: the fault and the remedy, in one line.
        key: the name of the setting at fault, without its config group; the command line
            completes it to the full key (``delta`` becomes ``noise.delta``).

    Example:
        >>> raise InputError("must lie in [0, 1], got 1.5", key="delta")
        Traceback (most recent call last):
        oponm.errors.InputError: delta must lie in [0, 1], got 1.5
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(f"{key} {message}" if key else message)
        self.message = message
        self.key = key


def first_of(names: Sequence[str], most: int = 3) -> str:
    """List the first of some names for an error message, and say how many more there are.

    Args:
        names: all names.
        most: maximum number of names that are listed.

    Example:
        >>> first_of(["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
        '1.jpg, 2.jpg, 3.jpg and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_int(key: str, value: object, minimum: int) -> int:
    """Return ``value`` as an ``int`` of at least ``minimum``.

    Raises:
        InputError: if it is not a whole number, or is smaller.

    Example:
        >>> check_int("batch_size", 128, minimum=1)
        128
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise InputError(f"must be a whole number of at least {minimum}, got {value!r}", key)
    return int(value)


def check_real(key: str, value: object, low: float, high: float = math.inf) -> float:
    """Return ``value`` as a finite ``float`` in ``[low, high]``.

    Raises:
        InputError: if it is not a finite number, or is outside.

    Example:
        >>> check_real("delta", 1 / 3, 0, 1)
        0.333...
    """
    bounds = f"lie in [{low:g}, {high:g}]" if math.isfinite(high) else f"be a number of at least {low:g}"
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high or math.isinf(number):
        raise InputError(f"must {bounds}, got {value!r}", key)
    return number


def check_path(key: str, value: str | os.PathLike[str]) -> Path:
    """Return ``value`` as a path, with ``~`` as the home folder.

    Raises:
        InputError: if it is no path; or if it is empty, as from an unset shell variable: an empty path would be the
            current folder.

    Example:
        >>> check_path("root", "photos").name
        'photos'
    """
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"must be a path, got {value!r}", key)
    if not os.fspath(value).strip():
        raise InputError("is empty: name a file or folder (. is the current one)", key)
    return Path(value).expanduser()


def check_flag(key: str, value: object) -> bool:
    """Return ``value`` if it is true or false.

    Raises:
        InputError: if it is neither.

    Example:
        >>> check_flag("compile", True)
        True
    """
    if not isinstance(value, bool):
        raise InputError(f"must be true or false, got {value!r}", key)
    return value


def check_choice(key: str, value: str, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of the choices.

    Raises:
        InputError: listing the choices, if it is not.

    Example:
        >>> check_choice("val", "split", ["none", "split", "test"])
        'split'
    """
    if value not in choices:
        raise InputError(f"must be one of {', '.join(choices)}, got {value!r}", key)
    return value
