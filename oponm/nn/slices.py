"""Routed batch norm of a batch whose natural rows come first, by torch's batch norm, once for each slice."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from oponm.nn.row_sums import on_eager_cpu

_batch_norm = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_LARGE = 2**22  # bytes of a tensor, above which a copy costs more than operators on tables
_LINE = 1024  # values


def leading_natural_rows(is_noise: Tensor) -> int | None:
    """The number of natural rows, if all of them come before the noise.

    Args:
        is_noise: (N,), bool.

    Returns:
        The number. None if the rows are mixed; also on an accelerator and under ``torch.compile``, where the mask is
        not read.

    Example:
        >>> leading_natural_rows(torch.tensor([False, False, True]))
        2
        >>> leading_natural_rows(torch.tensor([True, False, True])) is None
        True
    """
    if not on_eager_cpu(is_noise):
        return None
    natural = len(is_noise) - int(is_noise.sum())
    return None if bool(is_noise[:natural].any()) else natural


def suits_slices(x: Tensor, natural: int | None) -> bool:
    """Whether torch's batch norm supports an input, and is faster on its two slices than operators on all its rows.

    On the CPU torch's kernels are faster than eager operators for ``channels_last`` and bfloat16. They handle
    contiguous float32 one value at a time, so tables of row moments cost no more. Measured in
    ``benchmarks/RESULTS.md``.

    Args:
        x: (N, C) or (N, C, *).
        natural: number of natural rows, if they come before all noise rows; else None.

    Example:
        >>> images = torch.zeros(4, 3, 8, 8)
        >>> suits_slices(images, 3), suits_slices(images.contiguous(memory_format=torch.channels_last), 3)
        (False, True)
    """
    if natural is None or not on_eager_cpu(x) or x.dtype not in _DTYPES or x.numel() == 0:
        return False
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    if not channels_last and not (x.dtype == torch.bfloat16 and x.is_contiguous()):
        return False
    row = x[0, 0].numel()
    return all(rows * row != 1 for rows in (natural, len(x) - natural))


def sliced_batch_norm(
    x: Tensor,
    natural: int,
    weight: Tensor | None,
    bias: Tensor | None,
    noise_weight: Tensor | None,
    noise_bias: Tensor | None,
    eps: float,
    noise_grad: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute :func:`~oponm.nn.routed_batch_norm` for a batch whose natural rows come before its noise rows.

    Args:
        x: an input for which :func:`suits_slices` is true.
        natural: number of natural rows.
        weight: gamma, (C,), or None for 1.
        bias: beta, (C,), or None for 0.
        noise_weight: gamma of the noise rows; None shares ``weight``.
        noise_bias: beta of the noise rows; None shares ``bias``.
        eps: added to the variance.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``.

    Returns:
        Output, means, variances and values per channel, as in :class:`~oponm.nn.functional.Routed`.

    Example:
        >>> x = torch.tensor([1.0, 3.0, 100.0, 300.0]).view(4, 1, 1, 1)
        >>> sliced_batch_norm(x, 2, None, None, None, None, 1e-5, "none")[0].round().flatten().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    result: tuple[Tensor, Tensor, Tensor, Tensor] = _SlicedBatchNorm.apply(
        x, natural, weight, bias, noise_weight, noise_bias, eps, noise_grad
    )
    return result


class _SlicedBatchNorm(torch.autograd.Function):
    """Normalizes slices. All tables are allocated at once: for small maps the number of operators decides the time."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        natural: int,
        weight: Tensor | None,
        bias: Tensor | None,
        noise_weight: Tensor | None,
        noise_bias: Tensor | None,
        eps: float,
        noise_grad: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
        output, rows = torch.empty_like(x), [natural, len(x) - natural]
        tables = torch.zeros(7, x.shape[1], dtype=dtype)
        *by_group, scratch = tables.unbind()  # means, variances, reciprocals of deviations; natural, noise in turn
        gammas = [_or(part, 1.0, scratch) for part in (weight, weight if noise_weight is None else noise_weight)]
        betas = [_or(part, 0.0, scratch) for part in (bias, bias if noise_bias is None else noise_bias)]
        map_size = output.numel() // (len(x) * x.shape[1])
        for group, (part, out) in enumerate(zip(x.split(rows), output.split(rows), strict=True)):
            if values := rows[group] * map_size:
                mean, var, rstd = by_group[group::2]
                # With a momentum of 1 the running variance is that of the batch, unbiased.
                affine, running = (gammas[group], betas[group]), (scratch, var)
                _batch_norm(part, *affine, *running, True, 1.0, eps, out=out, save_mean=mean, save_invstd=rstd)
                var.mul_((values - 1) / values)
        ctx.save_for_backward(x, tables[:2], tables[4:6], *gammas)
        ctx.rows, ctx.eps, ctx.noise_grad = rows, eps, noise_grad
        ctx.shared = noise_weight is None and noise_bias is None
        ctx.dtypes = [None if part is None else part.dtype for part in (weight, bias, noise_weight, noise_bias)]
        mean, var, count = tables[:2], tables[2:4], torch.tensor([number * map_size for number in rows])
        ctx.mark_non_differentiable(mean, var, count)
        return output, mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, means, rstds, *gammas = ctx.saved_tensors
        channels_last = _is_channels_last(x)
        grad = grad.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        wanted, grad_x = ctx.needs_input_grad[0], torch.empty_like(x)
        # Not in bfloat16, which torch rounds once and this code would round twice.
        by_hand = wanted and channels_last and x.nbytes >= _LARGE and x.dtype != torch.bfloat16
        sums: dict[int, list[Tensor]] = {}  # the gradients of gamma and beta, by group
        parts = (grad.split(ctx.rows), x.split(ctx.rows), grad_x.split(ctx.rows))
        for group, (of_output, part, of_part) in enumerate(zip(*parts, strict=True)):
            if group and ctx.noise_grad == "none":
                of_part.zero_()
            elif ctx.rows[group]:
                summed = by_hand or not group or ctx.noise_grad == "full"
                tables = (gammas[group], None, None, means[group], rstds[group])
                mask = [wanted and not by_hand, summed, summed]
                of_input, *of_affine = _batch_norm_backward(of_output, part, *tables, True, ctx.eps, mask)
                if summed:
                    sums[group] = of_affine
                if wanted and not by_hand:
                    of_part.copy_(of_input)
        if by_hand and sums:
            _write_grad(grad, x, means, rstds, gammas, sums, ctx.rows, out=grad_x)
        return grad_x if wanted else None, None, *_affine_grads(sums, ctx, means[0]), None, None


def _write_grad(
    grad: Tensor,
    x: Tensor,
    means: Tensor,
    rstds: Tensor,
    gammas: list[Tensor],
    sums: dict[int, list[Tensor]],
    rows: list[int],
    out: Tensor,
) -> None:
    """Write the gradient of a ``channels_last`` input, for the groups with sums; torch would allocate new memory."""
    groups = list(sums)
    these, pixels = slice(groups[0], groups[-1] + 1), x[0, 0].numel()
    gamma = gammas[0] if gammas[0] is gammas[1] else torch.stack(gammas)[these]
    of_gamma, of_beta = (
        torch.stack([each for of_affine in sums.values() for each in of_affine]).view(len(groups), 2, -1).unbind(1)
    )
    a = gamma * rstds[these]
    share = a / torch.tensor([[-rows[group] * pixels] for group in groups])
    b = of_gamma * rstds[these] * share
    c = torch.addcmul(share * of_beta, b, means[these], value=-1)
    times = _pixels_a_line(x.shape[1], pixels)
    tables = torch.stack([a, b, c], 1).repeat(1, 1, times)
    lines = [number * pixels // times for number in rows]
    parts = [part.permute(0, 2, 3, 1).view(-1, tables.shape[-1]).split(lines) for part in (grad, x, out)]
    for group, (a, b, c) in zip(groups, tables.unbind(), strict=True):
        of_output, part, of_part = (each[group] for each in parts)
        torch.addcmul(c, of_output, a, out=of_part).addcmul_(part, b)


@lru_cache
def _pixels_a_line(channels: int, pixels: int) -> int:
    """The number of pixels to take together, a divisor of their number, so that loops over lines are long."""
    return max(number for number in range(1, max(_LINE // channels, 1) + 1) if pixels % number == 0)


def _affine_grads(sums: dict[int, list[Tensor]], ctx: Any, like: Tensor) -> list[Tensor | None]:
    """Gradients of gamma and beta, and of the noise rows' gamma and beta."""
    none: list[Tensor | None] = [None, None]
    natural, noise = [*sums.get(0, none)], [*sums.get(1, none)] if ctx.noise_grad == "full" else none
    if ctx.shared:
        natural = [
            one if other is None else other if one is None else one + other
            for one, other in zip(natural, noise, strict=True)
        ]
    return [
        None if dtype is None or not wanted else torch.zeros_like(like, dtype=dtype) if of is None else of.to(dtype)
        for of, dtype, wanted in zip([*natural, *noise], ctx.dtypes, ctx.needs_input_grad[2:6], strict=True)
    ]


def _or(affine: Tensor | None, default: float, like: Tensor) -> Tensor:
    return torch.full_like(like, default) if affine is None else affine.to(like.dtype)


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
