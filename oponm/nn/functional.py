"""Batch norm with one set of statistics for natural rows and one for noise rows, as a pure function."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from oponm.errors import InputError, check_choice

NOISE_GRADS = ("none", "input", "full")


class Routed(NamedTuple):
    """What :func:`routed_batch_norm` returns.

    Attributes:
        output: like the input.
        mean: (2, C), the batch mean of natural rows (0) and of noise rows (1); 0 for a group without a row.
        var: (2, C), the biased batch variance of each group; 0 for a group of fewer than two values.
        numel: (2,), values a channel in each group, i.e. its rows times the size of the map.
    """

    output: Tensor
    mean: Tensor
    var: Tensor
    numel: Tensor


def routed_batch_norm(
    x: Tensor,
    is_noise: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    noise_weight: Tensor | None = None,
    noise_bias: Tensor | None = None,
    eps: float = 1e-5,
    noise_grad: str = "none",
) -> Routed:
    r"""Standardise natural and noise rows apart, each with their own batch statistics.

    .. math:: y_n = \gamma_g \frac{x_n - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}} + \beta_g, \quad g = g(n)

    A group with a single value a channel (one row of a 1x1 map) has no variance; its standardised value is defined as
    0, so its output is the bias. A group without rows takes no part.

    All work is done on (N, C) tables of row moments, without indexing by the mask: shapes never depend on how many
    rows are noise, so nothing is read back from the device and ``torch.compile`` compiles once. Statistics are formed
    in float32 for half-precision input, in the input's precision otherwise.

    Args:
        x: (N, C) or (N, C, *), floating point.
        is_noise: (N,), bool, in any order.
        weight: gamma, (C,), or None for 1.
        bias: beta, (C,), or None for 0.
        noise_weight: gamma of the noise rows; None to share ``weight`` (DAR-BN).
        noise_bias: beta of the noise rows; None to share ``bias``.
        eps: added to the variance.
        noise_grad: how far gradients of noise rows reach. ``"none"``: nowhere, the noise branch is a constant;
            ``"input"``: to ``x``, not to gamma and beta; ``"full"``: to ``x`` and to their gamma and beta.

    Returns:
        Output and the statistics of both groups; only the output carries gradients.

    Raises:
        InputError: for an unknown ``noise_grad``, or a mask that does not fit ``x``.

    References:
        Zada, Benou, Irani, "Pure Noise to the Rescue of Insufficient Data", ICML 2022, Sec. 4 and Algorithm 2. The
        publication leaves open which of the three readings it used.

    Example:
        >>> x = torch.tensor([[1.0], [3.0], [100.0], [300.0]])
        >>> is_noise = torch.tensor([False, False, True, True])
        >>> routed_batch_norm(x, is_noise).output.round().flatten().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    check_choice("noise_grad", noise_grad, NOISE_GRADS)
    check_mask(is_noise, x)
    return Routed(*_RoutedBatchNorm.apply(x, is_noise, weight, bias, noise_weight, noise_bias, eps, noise_grad))


def check_mask(is_noise: Tensor, x: Tensor) -> None:
    """Raise an :class:`~oponm.errors.InputError` unless the mask has one entry a row of ``x``, on its device."""
    if is_noise.shape != x.shape[:1]:
        raise InputError(
            f"has shape {tuple(is_noise.shape)}, but this batch-norm layer got an input of shape {tuple(x.shape)}: "
            "give noise_routing one entry for each row that reaches the layer",
            "is_noise",
        )
    if is_noise.device != x.device:
        raise InputError(f"is on {is_noise.device}, the input on {x.device}: move the mask", "is_noise")


class _RoutedBatchNorm(torch.autograd.Function):
    """Per-row scale and shift; the backward pass is the closed form of batch norm's, group by group."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        is_noise: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        noise_weight: Tensor | None,
        noise_bias: Tensor | None,
        eps: float,
        noise_grad: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = x.to(_statistics_dtype(x))
        row_mean, row_var = _row_moments(values)
        groups = torch.stack([~is_noise, is_noise]).unsqueeze(-1)  # (2, N, 1)
        rows = groups.sum(1).to(row_mean.dtype)  # (2, 1)
        mean = _group_sum(groups, row_mean) / rows.clamp(min=1)  # (2, C)
        own_mean = _of_rows(is_noise, mean)
        var = _group_sum(groups, row_var + (row_mean - own_mean).square()) / rows.clamp(min=1)
        count = rows * (x.numel() / max(row_mean.numel(), 1))
        rstd = torch.where(count > 1, (var + eps).rsqrt(), 0)  # (2, C)

        scale = rstd * _pair(weight, noise_weight, rstd, 1)
        shift = _pair(bias, noise_bias, rstd, 0) - mean * scale
        output = values * _as_map(_of_rows(is_noise, scale), x) + _as_map(_of_rows(is_noise, shift), x)

        ctx.save_for_backward(x, is_noise, weight, noise_weight, mean, rstd, count)
        ctx.noise_grad = noise_grad
        count = count.squeeze(-1)
        ctx.mark_non_differentiable(mean, var, count)
        return output.to(x.dtype), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, is_noise, weight, noise_weight, mean, rstd, count = ctx.saved_tensors
        dims = tuple(range(2, x.dim()))
        grad_values = grad.to(mean.dtype)
        centred = x.to(mean.dtype) - _as_map(_of_rows(is_noise, mean), x)
        row_grad = grad_values.sum(dims) if dims else grad_values
        row_product = (grad_values * centred).sum(dims) if dims else grad_values * centred

        groups = torch.stack([~is_noise, is_noise]).unsqueeze(-1)
        grad_bias = _group_sum(groups, row_grad)  # (2, C)
        grad_weight = _group_sum(groups, row_product) * rstd

        # d loss / d x = a * (grad - mean(grad) - standardised * mean(grad * standardised)), a = gamma * rstd
        a = rstd * _pair(weight, noise_weight, rstd, 1)
        if ctx.noise_grad == "none":
            a = torch.stack([a[0], torch.zeros_like(a[1])])
        b = -a * rstd * grad_weight / count.clamp(min=1)
        c = -a * grad_bias / count.clamp(min=1)
        grad_x = (
            grad_values * _as_map(_of_rows(is_noise, a), x)
            + centred * _as_map(_of_rows(is_noise, b), x)
            + _as_map(_of_rows(is_noise, c), x)
        ).to(x.dtype)

        grads = {}
        for name, total in (("weight", grad_weight), ("bias", grad_bias)):
            natural, noise = total[0], total[1] if ctx.noise_grad == "full" else torch.zeros_like(total[1])
            shared = noise_weight is None
            grads[name] = natural + noise if shared else natural
            grads[f"noise_{name}"] = None if shared else noise
        wanted = ctx.needs_input_grad
        return (
            grad_x if wanted[0] else None,
            None,
            grads["weight"] if wanted[2] else None,
            grads["bias"] if wanted[3] else None,
            grads["noise_weight"] if wanted[4] else None,
            grads["noise_bias"] if wanted[5] else None,
            None,
            None,
        )


def _statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype


def _row_moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each row's map, both (N, C)."""
    dims = tuple(range(2, values.dim()))
    if not dims:
        return values, torch.zeros_like(values)
    var, mean = torch.var_mean(values, dims, correction=0)
    return mean, var


def _group_sum(groups: Tensor, table: Tensor) -> Tensor:
    """Sum the rows of an (N, C) table over each group -> (2, C); what stands in other rows, even NaN, has no part."""
    return torch.where(groups, table, 0).sum(1)


def _of_rows(is_noise: Tensor, table: Tensor) -> Tensor:
    """Give each row its group's line of a (2, C) table -> (N, C)."""
    return torch.where(is_noise.unsqueeze(-1), table[1], table[0])


def _pair(natural: Tensor | None, noise: Tensor | None, like: Tensor, default: float) -> Tensor:
    """Stack the affine parameters of the two groups -> (2, C)."""
    if natural is None:
        return torch.full_like(like, default)
    return torch.stack([natural, natural if noise is None else noise]).to(like.dtype)


def _as_map(table: Tensor, x: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, ...), to be broadcast over the maps of ``x``."""
    return table.reshape(*table.shape, *([1] * (x.dim() - 2)))
