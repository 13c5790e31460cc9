"""A progress bar for a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
    """Pass items on, showing how many of ``total`` have gone by; on standard error, and on a terminal alone.

    Example:
        >>> sum(track([1, 2], 2, "adding"))
        3
    """
    console = Console(stderr=True)
    yield from rich_track(items, title, total, console=console, transient=True, disable=not console.is_terminal)
