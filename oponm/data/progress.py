"""Shows a progress bar if standard error is a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """Yield items, and show on standard error how many of ``total`` are done, if :func:`shows_bars` allows it.

    Example:
        >>> sum(track([1, 2], 2, "adding"))
        3
    """
    console = Console(stderr=True)
    yield from rich_track(items, title, total, console=console, transient=True) if shows_bars(console) else items


def shows_bars(console: Console) -> bool:
    """Whether to show a progress bar on a console: only on a terminal, and not if the variable ``CI`` is set.

    Args:
        console: the console.

    Example:
        >>> import io
        >>> shows_bars(Console(file=io.StringIO()))
        False
    """
    return console.is_terminal and not os.environ.get("CI")
