"""The random draws of mixing, from a given generator and without waiting for the device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def permute_natural(is_noise: Tensor, generator: torch.Generator) -> Tensor:
    """Permute the natural rows of a batch among themselves, and the noise rows among themselves.

    Args:
        is_noise: (N,), bool.
        generator: source of all randomness; N draws, on its own device.

    Returns:
        Row numbers, (N,), int64, on the device of ``is_noise``.

    Example:
        >>> permute_natural(torch.tensor([True, False, True, False]), torch.Generator().manual_seed(0)) % 2
        tensor([0, 1, 0, 1])
    """
    keys = torch.rand(len(is_noise), generator=generator, device=generator.device).to(is_noise.device)
    # Both list the natural rows first. No shape depends on their number, so the device is not waited for.
    in_order = torch.argsort(is_noise.long(), stable=True)
    shuffled = torch.argsort(keys + 2 * is_noise, stable=True)
    return torch.empty_like(in_order).scatter_(0, in_order, shuffled)


def draw_shares(number: int, alpha: float, generator: torch.Generator) -> Tensor:
    r"""Draw from Beta(alpha, alpha).

    .. math:: \lambda = \frac12 + \frac{s}{2 \sqrt{1 + 1 / r}}, \quad
        r = (U^{-1/\alpha} - 1) \cos^2 2 \pi V, \quad s = \text{sign} \cos 2 \pi V

    for uniform U and V. It is exact, except for values nearer to 0 or 1 than float32 resolves around 1/2.

    Args:
        number: number of draws, N.
        alpha: above 0.
        generator: source of all randomness; 2N draws.

    Returns:
        (N,), float32 in [0, 1], on the generator's device.

    References:
        Devroye, "Random Variate Generation in One Line of Code", Winter Simulation Conference 1996.

    Example:
        >>> shares = draw_shares(100_000, 2.0, torch.Generator().manual_seed(0))
        >>> shares.mean(), shares.var()  # 1/2 and 1 / (8 alpha + 4)
        (tensor(0.50...), tensor(0.0499...))
    """
    # torch.distributions takes no generator; the private functions below it do, but some devices lack them.
    first, second = torch.rand((2, number), generator=generator, device=generator.device)
    cosine = torch.cos(2 * math.pi * second)
    ratio = torch.expm1(-torch.log1p(-first) / alpha) * cosine.square()  # 1 - first for U, as that is never 0
    return 0.5 + 0.5 * cosine.sign() * (1 + 1 / ratio).rsqrt()
