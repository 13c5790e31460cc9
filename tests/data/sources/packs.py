"""What tests of packs share: pictures, and processes that end before their time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oponm.data.sources import pack
from oponm.data.sources.pack import DONE, IMAGES, INDEX
from oponm.data.sources.prepare import Packing, Recipe, scaled


def pictures(root: Path, number: int = 14, damaged: tuple[int, ...] = ()) -> list[Path]:
    """Pictures of different sizes, random dots; the damaged ones are text."""
    random = np.random.default_rng(0)
    files = []
    for index in range(number):
        files.append(root / f"{'abc'[index % 3]}/{index:02}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        size = (8 + index, 30 - index, 3) if index % 2 else (20, 40 - index, 3)
        Image.fromarray(random.integers(0, 255, size, dtype=np.uint8)).save(files[-1])
        if index in damaged:
            files[-1].write_text("no pixels")
    return files


def few_at_once(monkeypatch: pytest.MonkeyPatch, images: int = 3) -> None:
    monkeypatch.setattr(pack, "AT_ONCE_IMAGES", images)


def packing(root: Path, folder: Path, recipe: Recipe | None = None, skip: bool = True) -> Packing:
    return Packing(folder, recipe or scaled(12), root, sorted(root.rglob("*.png")), skip)


def content(folder: Path) -> tuple[bytes, ...]:
    return tuple((folder / name).read_bytes() for name in (IMAGES, INDEX, DONE))


def fork(work: Callable[[], object]) -> int:
    """The id of a process that does the work and ends with 0, or with 1 if it fails."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """How the process ended: its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
