"""Checks that decoded images fit in memory before hours are spent on decoding."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from oponm.errors import InputError

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # memory limit of a container


def total_memory() -> int:
    """Memory of the machine in bytes, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # the file is missing, or says "max"
            total = min(total, int(Path(path).read_text()))
    return total


def room_for(number: int, image_shape: tuple[int, int, int], taken: int = 0) -> Tensor:
    """Allocate memory for images that are to be decoded.

    Args:
        number: number of images, N.
        image_shape: (C, H, W).
        taken: bytes of other images in memory.

    Returns:
        (N, C, H, W), uint8, not filled.

    Raises:
        InputError: if the images cannot fit.

    Example:
        >>> room_for(2, (3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    needed, there = number * math.prod(image_shape) + taken, total_memory()
    if needed <= there:
        with suppress(RuntimeError, MemoryError):
            return torch.empty((number, *image_shape), dtype=torch.uint8)
    raise too_large(needed, f"this machine has {there / 1e9:.1f} GB")


def too_large(needed: int, there: str) -> InputError:
    """Return the error for images that do not fit in memory.

    Args:
        needed: bytes that the images need.
        there: the available memory, in words, as the end of a sentence.

    Example:
        >>> too_large(10**10, "this machine has 8.0 GB").key
        'in_memory'
    """
    fault = f"must be false: decoded, the images take {needed / 1e9:.1f} GB, and {there}"
    return InputError(f"{fault}; or choose a smaller data.image_size", "in_memory")
