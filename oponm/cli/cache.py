"""``oponm cache``: lists the stored phases; ``oponm cache clear`` removes them."""

from __future__ import annotations

import time

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oponm.cli.config import composed
from oponm.errors import InputError
from oponm.training.build import build_phase_cache

HELP = "oponm cache [clear] [phase_cache=FOLDER]   lists the phases kept for other runs, or removes them"


def run(arguments: list[str]) -> None:
    """List the cache, or clear it."""
    clearing = arguments[:1] == ["clear"]
    overrides = arguments[1:] if clearing else arguments
    if other := [argument for argument in overrides if not argument.startswith("phase_cache=")]:
        raise InputError(f"oponm cache takes no argument {other[0]!r}: {HELP}")
    cache = build_phase_cache(composed("train", overrides).phase_cache)
    if cache is None:
        raise InputError("is off: name a folder", "phase_cache")
    console = Console(markup=False, highlight=False)
    entries = cache.entries()
    total = sum(entry.size for entry in entries)
    if clearing:
        cache.clear()
        console.print(f"{cache.folder}: removed {len(entries)} stored, {_mebibytes(total)}", soft_wrap=True)
        return
    table = Table(box=SIMPLE_HEAD)
    for name in ("phase", "stored", "size"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for entry in entries:
        stored = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        table.add_row(entry.path.stem[:16], stored, _mebibytes(entry.size))
    if entries:
        console.print(table)
    console.print(f"{cache.folder}: {len(entries)} stored, {_mebibytes(total)}", soft_wrap=True)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
