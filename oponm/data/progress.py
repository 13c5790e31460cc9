"""A progress bar for a terminal, silence elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """Pass items on, showing how many of ``total`` have gone by; on standard error, see :func:`shows_bars`.

    Example:
        >>> sum(track([1, 2], 2, "adding"))
        3
    """
    console = Console(stderr=True)
    yield from rich_track(items, title, total, console=console, transient=True, disable=not shows_bars(console))


def shows_bars(console: Console) -> bool:
    """Whether a progress bar belongs there: on a terminal alone, and not where ``CI`` is set.

    Args:
        console: where it would be shown.

    Example:
        >>> import io
        >>> shows_bars(Console(file=io.StringIO()))
        False
    """
    return console.is_terminal and not os.environ.get("CI")
