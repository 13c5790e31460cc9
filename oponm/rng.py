"""Randomness as a pure function of (seed, purpose, epoch, step, rank): nothing depends on hidden generator state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, purpose: str, epoch: int = 0, step: int = 0, rank: int = 0) -> int:
    """Hash a draw's identity into a 63-bit seed.

    Two identities that differ in any part give unrelated seeds; the same identity gives the same seed on every machine.

    Args:
        seed: the run's seed.
        purpose: what the draw is for, e.g. ``"sampler"``, ``"augmentation"``, ``"noise"``, ``"dropout"``.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
        rank: process rank.

    Returns:
        A seed in ``[0, 2**63)``.

    Example:
        >>> derive_seed(0, "noise", epoch=3) == derive_seed(0, "noise", epoch=3)
        True
        >>> derive_seed(0, "noise", epoch=3) == derive_seed(0, "noise", epoch=4)
        False
    """
    identity = f"{seed}\x1f{purpose}\x1f{epoch}\x1f{step}\x1f{rank}".encode()
    return int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "little") >> 1


def derive_generator(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, rank: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Make a generator on ``device`` seeded by :func:`derive_seed`.

    Example:
        >>> a = torch.rand(2, generator=derive_generator(0, "sampler", epoch=1))
        >>> b = torch.rand(2, generator=derive_generator(0, "sampler", epoch=1))
        >>> torch.equal(a, b)
        True
    """
    return torch.Generator(device=device).manual_seed(derive_seed(seed, purpose, epoch, step, rank))


@contextmanager
def derived_randomness(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, rank: int = 0, device: torch.device | str = "cpu"
) -> Iterator[None]:
    """Seed torch's global generators by :func:`derive_seed` inside the block and restore them after it.

    It is for code that takes no generator: dropout, weight initialization, kornia.

    Args:
        seed: the run's seed.
        purpose: purpose of the draws.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
        rank: process rank.
        device: the accelerator whose generator is seeded in addition to the CPU's.

    Example:
        >>> with derived_randomness(0, "model"):
        ...     a = torch.rand(2)
        >>> with derived_randomness(0, "model"):
        ...     b = torch.rand(2)
        >>> torch.equal(a, b)
        True
    """
    # Not torch.manual_seed: it also queues a call, with a stack trace, for every kind of unused accelerator.
    target = derive_seed(seed, purpose, epoch, step, rank)
    accelerator = torch.device(device)
    devices = [] if accelerator.type == "cpu" else [accelerator]
    with torch.random.fork_rng(devices=devices, device_type=accelerator.type if devices else "cuda"):
        torch.default_generator.manual_seed(target)
        if devices:
            torch.get_device_module(accelerator).manual_seed(target)
        yield
