"""Processes that tests start: forked off one that has imported what takes seconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["oponm.training.run", "timm.layers", "tests.training.small"])


def spawn(work: Callable[..., None], arguments: tuple[Any, ...], number: int, join: bool = True) -> Any:
    """Call ``work(rank, *arguments)`` in several processes, and wait for them."""
    return mp.start_processes(work, arguments, number, join, start_method="forkserver")
