"""Routed batch norm as fused Triton kernels, called through ``torch.library`` operators.

The forward pass reads the input twice and writes the output once; the backward pass reads input and gradient twice and
writes the gradient of the input once, as batch norm does. A kernel reads the group of each row itself: rows may be in
any order, nothing is gathered, and nothing depends on the number of noise rows.

A tensor is a table of values, (N * map size, C), in either memory format; a program works on tiles of it. Statistics
are float32. Each program of a pass that sums writes a line of partial sums, which one small kernel adds up in a fixed
order: there are no atomics, and results are the same each time, on every card.

Groups are natural rows (0) and noise rows (1). With ``shared`` both have the statistics of all rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from oponm.nn.processes import add_over_processes, merge_over_processes

TILE = 2048  # values of a tile
MOST_CHANNELS = 64  # of a tile in channels_last: 128 bytes in half precision
PROGRAMS = 1024  # of a pass that sums: several for each multiprocessor of a large card
MOST_SPLITS = 256  # lines of partial sums of a channel
LINE = 16  # channels that a program of a small kernel takes at once
WARPS = 8  # of a program on tiles: with more values each, a thread runs out of registers
LARGEST_INT32 = 2**31 - 1


@triton.jit
def _place(
    tile, block, values, channels, MAP: tl.constexpr, LAST: tl.constexpr, WIDE: tl.constexpr, VALUES: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Where a tile lies: (VALUES, CHANNELS) offsets and what is inside; the row and validity of each of its lines."""
    value = tile * VALUES + tl.arange(0, VALUES)
    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    inside = value < values
    row = value // MAP
    if WIDE:
        value, row = value.to(tl.int64), row.to(tl.int64)
    if LAST:
        offset = value[:, None] * channels + channel[None, :]
    else:
        offset = (row * channels * MAP + value - row * MAP)[:, None] + channel[None, :] * MAP
    return offset, inside[:, None] & (channel < channels)[None, :], row, inside


@triton.jit
def _take(count, mean, spread, value, member):
    """Welford's update of each lane by a value, where it is a member; others have no effect, even if they are NaN."""
    count += member.to(tl.float32)
    share = (1 / tl.maximum(count, 1))[:, None]
    step = tl.where(member[:, None], value - mean, 0.0)
    return count, mean + step * share, spread + step * (step * (1 - share))


@triton.jit
def _merge(count, mean, spread):
    """Counts, means and sums of squared deviations of lanes, (L, C), as those of all together, (C,)."""
    total = tl.sum(count, 0)
    share = count / tl.maximum(total, 1)[None, :]
    merged = tl.sum(share * mean, 0)
    merged += tl.sum(share * (mean - merged[None, :]), 0)  # what rounding has left
    offset = mean - merged[None, :]
    return total, merged, tl.sum(spread + count * offset * offset, 0)


@triton.jit
def _moments_kernel(
    x, of_row, partial, values, channels, MAP: tl.constexpr, LAST: tl.constexpr, WIDE: tl.constexpr,
    VALUES: tl.constexpr, CHANNELS: tl.constexpr, SHARED: tl.constexpr,
):  # fmt: skip
    """First pass over the input: count, mean and spread by group, into (splits, 2, 3, C).

    Each lane of the tile keeps Welford's moments of what it meets, so that a large mean costs no digits; a program
    merges its lanes when it has met all of its tiles.
    """
    split, block = tl.program_id(0), tl.program_id(1)
    mean = tl.zeros([VALUES, CHANNELS], tl.float32)
    spread = tl.zeros([VALUES, CHANNELS], tl.float32)
    count = tl.zeros([VALUES], tl.float32)
    noise_mean = tl.zeros([VALUES, CHANNELS], tl.float32)
    noise_spread = tl.zeros([VALUES, CHANNELS], tl.float32)
    noise_count = tl.zeros([VALUES], tl.float32)
    for tile in range(split, tl.cdiv(values, VALUES), tl.num_programs(0)):
        offset, mask, row, inside = _place(tile, block, values, channels, MAP, LAST, WIDE, VALUES, CHANNELS)
        value = tl.load(x + offset, mask, other=0.0).to(tl.float32)
        if SHARED:
            count, mean, spread = _take(count, mean, spread, value, inside)
        else:
            is_noise = tl.load(of_row + row, inside, other=0) != 0
            count, mean, spread = _take(count, mean, spread, value, inside & (is_noise == 0))
            noise_count, noise_mean, noise_spread = _take(
                noise_count, noise_mean, noise_spread, value, inside & is_noise
            )

    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    line = partial + split * 6 * channels + channel
    zeros = tl.zeros([VALUES, CHANNELS], tl.float32)
    total, merged, all_spread = _merge(count[:, None] + zeros, mean, spread)
    tl.store(line, total, known)
    tl.store(line + channels, merged, known)
    tl.store(line + 2 * channels, all_spread, known)
    total, merged, all_spread = _merge(noise_count[:, None] + zeros, noise_mean, noise_spread)
    tl.store(line + 3 * channels, total, known)
    tl.store(line + 4 * channels, merged, known)
    tl.store(line + 5 * channels, all_spread, known)


@triton.jit
def _statistics_kernel(
    partial, of_row, mean, var, count, rows, channels, splits, MAP: tl.constexpr, SPLITS: tl.constexpr,
    LINE: tl.constexpr, ROWS: tl.constexpr, SHARED: tl.constexpr,
):  # fmt: skip
    """Merges (splits, 2, 3, C) partial moments to means and variances, (2, C); counts values of both groups, (2,)."""
    channel = tl.program_id(0) * LINE + tl.arange(0, LINE)
    known = channel < channels
    split = tl.arange(0, SPLITS)[:, None]
    mask = (split < splits) & known[None, :]
    for group in tl.static_range(2):
        line = partial + (split * 6 + (0 if SHARED else 3 * group)) * channels + channel[None, :]
        total, merged, spread = _merge(
            tl.load(line, mask, other=0.0),
            tl.load(line + channels, mask, other=0.0),
            tl.load(line + 2 * channels, mask, other=0.0),
        )
        tl.store(mean + group * channels + channel, merged, known)
        tl.store(var + group * channels + channel, spread / tl.maximum(total, 1), known)
    if tl.program_id(0) == 0:
        noise = tl.zeros([ROWS], tl.int64)
        for start in range(0, rows, ROWS):
            row = start + tl.arange(0, ROWS)
            noise += tl.load(of_row + row, row < rows, other=0)
        total_noise = tl.sum(noise, 0)
        tl.store(count, (rows if SHARED else rows - total_noise) * MAP)
        tl.store(count + 1, (rows if SHARED else total_noise) * MAP)


@triton.jit
def _line(table, channel, known, default):
    """A line of a table as float32; a table that is missing is a number."""
    if table is None:
        line = tl.zeros_like(channel).to(tl.float32) + default
    else:
        line = tl.load(table + channel, known, other=0.0).to(tl.float32)
    return line


@triton.jit
def _reciprocal_deviation(var, count, eps):
    """1 / sqrt(var + eps); 0 for a group of a single value, whose standardized value is defined as 0."""
    return tl.where(count > 1, 1 / tl.sqrt(var + eps), 0.0)


@triton.jit
def _normalize_kernel(
    x, of_row, mean, var, count, weight, bias, noise_weight, noise_bias, output, values, channels, eps,
    MAP: tl.constexpr, LAST: tl.constexpr, WIDE: tl.constexpr, VALUES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Second pass over the input: writes ``(x - mean) * (gamma / deviation) + beta`` of each row's group."""
    block = tl.program_id(1)
    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    offset, mask, row, inside = _place(
        tl.program_id(0), block, values, channels, MAP, LAST, WIDE, VALUES, CHANNELS
    )  # fmt: skip
    value = tl.load(x + offset, mask, other=0.0).to(tl.float32)
    noise = (tl.load(of_row + row, inside, other=0) != 0)[:, None]

    gamma, beta = _line(weight, channel, known, 1.0), _line(bias, channel, known, 0.0)
    noise_gamma, noise_beta = gamma, beta
    if noise_weight is not None:
        noise_gamma = _line(noise_weight, channel, known, 1.0)
    if noise_bias is not None:
        noise_beta = _line(noise_bias, channel, known, 0.0)
    center, noise_center = _line(mean, channel, known, 0.0), _line(mean + channels, channel, known, 0.0)
    scale = gamma * _reciprocal_deviation(_line(var, channel, known, 0.0), tl.load(count), eps)
    noise_var = _line(var + channels, channel, known, 0.0)
    noise_scale = noise_gamma * _reciprocal_deviation(noise_var, tl.load(count + 1), eps)

    centered = value - tl.where(noise, noise_center[None, :], center[None, :])
    scaled = centered * tl.where(noise, noise_scale[None, :], scale[None, :])
    shifted = scaled + tl.where(noise, noise_beta[None, :], beta[None, :])
    tl.store(output + offset, shifted.to(output.dtype.element_ty), mask)


@triton.jit
def _sums_kernel(
    grad, x, of_row, mean, partial, values, channels, MAP: tl.constexpr, LAST: tl.constexpr, WIDE: tl.constexpr,
    VALUES: tl.constexpr, CHANNELS: tl.constexpr, STOPS: tl.constexpr,
):  # fmt: skip
    """First pass over gradient and input: sums of ``grad * (x - mean)`` and of ``grad``, into (splits, 2, 2, C).

    Noise rows that the gradient stops at are not read.
    """
    split, block = tl.program_id(0), tl.program_id(1)
    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    center, noise_center = _line(mean, channel, known, 0.0), _line(mean + channels, channel, known, 0.0)
    products = tl.zeros([VALUES, CHANNELS], tl.float32)
    grads = tl.zeros([VALUES, CHANNELS], tl.float32)
    noise_products = tl.zeros([VALUES, CHANNELS], tl.float32)
    noise_grads = tl.zeros([VALUES, CHANNELS], tl.float32)
    for tile in range(split, tl.cdiv(values, VALUES), tl.num_programs(0)):
        offset, mask, row, inside = _place(tile, block, values, channels, MAP, LAST, WIDE, VALUES, CHANNELS)
        noise = (tl.load(of_row + row, inside, other=0) != 0)[:, None]
        if STOPS:
            mask = mask & (noise == 0)
        value = tl.load(x + offset, mask, other=0.0).to(tl.float32)
        of_output = tl.load(grad + offset, mask, other=0.0).to(tl.float32)
        product = of_output * (value - tl.where(noise, noise_center[None, :], center[None, :]))
        products += tl.where(noise, 0.0, product)
        grads += tl.where(noise, 0.0, of_output)
        if not STOPS:
            noise_products += tl.where(noise, product, 0.0)
            noise_grads += tl.where(noise, of_output, 0.0)
    line = partial + split * 4 * channels + channel
    tl.store(line, tl.sum(products, 0), known)
    tl.store(line + channels, tl.sum(grads, 0), known)
    tl.store(line + 2 * channels, tl.sum(noise_products, 0), known)
    tl.store(line + 3 * channels, tl.sum(noise_grads, 0), known)


@triton.jit
def _gradients_kernel(
    partial, var, count, sums, affine, channels, splits, eps, SPLITS: tl.constexpr, LINE: tl.constexpr,
    SHARED: tl.constexpr, STOPS: tl.constexpr, FULL: tl.constexpr, OWN: tl.constexpr,
):  # fmt: skip
    """Adds up (splits, 2, 2, C) partial sums, and says which of them reach what.

    ``sums``, (2, 2, C): of ``grad * standardized`` and of ``grad``, by group, as the gradient of the input needs them.
    ``affine``, (4, C): the gradients of gamma, beta, and the noise rows' gamma and beta.
    """
    channel = tl.program_id(0) * LINE + tl.arange(0, LINE)
    known = channel < channels
    split = tl.arange(0, SPLITS)[:, None]
    mask = (split < splits) & known[None, :]
    line = partial + split * 4 * channels + channel[None, :]
    for which in tl.static_range(2):  # of gamma, of beta
        natural = tl.sum(tl.load(line + which * channels, mask, other=0.0), 0)
        noise = tl.sum(tl.load(line + (2 + which) * channels, mask, other=0.0), 0)
        if which == 0:
            natural *= _reciprocal_deviation(_line(var, channel, known, 0.0), tl.load(count), eps)
            noise *= _reciprocal_deviation(_line(var + channels, channel, known, 0.0), tl.load(count + 1), eps)
        taken = noise if FULL else tl.zeros_like(noise)
        tl.store(affine + which * channels + channel, natural if OWN else natural + taken, known)
        tl.store(affine + (2 + which) * channels + channel, taken, known)
        if SHARED:
            natural = natural if STOPS else natural + noise
            noise = natural
        tl.store(sums + which * 2 * channels + channel, natural, known)
        tl.store(sums + (which * 2 + 1) * channels + channel, noise, known)


@triton.jit
def _input_gradient_kernel(
    grad, x, of_row, mean, var, count, weight, noise_weight, sums, output, values, channels, eps, MAP: tl.constexpr,
    LAST: tl.constexpr, WIDE: tl.constexpr, VALUES: tl.constexpr, CHANNELS: tl.constexpr, STOPS: tl.constexpr,
):  # fmt: skip
    """Second pass over gradient and input: writes the gradient of the input; 0 for noise rows that it stops at.

    ``gamma / deviation * (grad - mean(grad) - standardized * mean(grad * standardized))``, means over the row's group.
    """
    block = tl.program_id(1)
    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    offset, mask, row, inside = _place(
        tl.program_id(0), block, values, channels, MAP, LAST, WIDE, VALUES, CHANNELS
    )  # fmt: skip
    noise = (tl.load(of_row + row, inside, other=0) != 0)[:, None]
    read = mask & (noise == 0) if STOPS else mask
    value = tl.load(x + offset, read, other=0.0).to(tl.float32)
    of_output = tl.load(grad + offset, read, other=0.0).to(tl.float32)

    gamma = _line(weight, channel, known, 1.0)
    noise_gamma = gamma
    if noise_weight is not None:
        noise_gamma = _line(noise_weight, channel, known, 1.0)
    number, noise_number = tl.load(count), tl.load(count + 1)
    rstd = _reciprocal_deviation(_line(var, channel, known, 0.0), number, eps)
    noise_rstd = _reciprocal_deviation(_line(var + channels, channel, known, 0.0), noise_number, eps)
    share, noise_share = 1 / tl.maximum(number, 1).to(tl.float32), 1 / tl.maximum(noise_number, 1).to(tl.float32)
    slope = rstd * share * _line(sums, channel, known, 0.0)
    noise_slope = noise_rstd * noise_share * _line(sums + channels, channel, known, 0.0)
    level = share * _line(sums + 2 * channels, channel, known, 0.0)
    noise_level = noise_share * _line(sums + 3 * channels, channel, known, 0.0)
    scale, noise_scale = gamma * rstd, noise_gamma * noise_rstd
    center, noise_center = _line(mean, channel, known, 0.0), _line(mean + channels, channel, known, 0.0)

    centered = value - tl.where(noise, noise_center[None, :], center[None, :])
    rest = of_output - tl.where(noise, noise_level[None, :], level[None, :])
    rest -= centered * tl.where(noise, noise_slope[None, :], slope[None, :])
    of_input = rest * tl.where(noise, noise_scale[None, :], scale[None, :])
    if STOPS:
        of_input = tl.where(noise, 0.0, of_input)
    tl.store(output + offset, of_input.to(output.dtype.element_ty), mask)


@triton.jit
def _track_kernel(
    running_mean, running_var, batches, mean, var, count, momentum, channels, LINE: tl.constexpr, AVERAGE: tl.constexpr
):
    """Moves running statistics, (C,), by a batch of more than one value per channel; one program, which also counts."""
    values = tl.load(count)
    tracked = tl.load(batches) + (values > 1).to(tl.int64)
    tl.store(batches, tracked)
    share = momentum
    if AVERAGE:
        share = 1 / tl.maximum(tracked, 1).to(tl.float32)
    step = tl.where(values > 1, share, 0.0)
    unbiased = values.to(tl.float32) / tl.maximum(values - 1, 1).to(tl.float32)
    for start in range(0, channels, LINE):
        channel = start + tl.arange(0, LINE)
        known = channel < channels
        for which in tl.static_range(2):
            running = running_var if which else running_mean
            batch = _line(var, channel, known, 0.0) * unbiased if which else _line(mean, channel, known, 0.0)
            old = tl.load(running + channel, known, other=0.0).to(tl.float32)
            new = tl.where(step < 0.5, old + step * (batch - old), batch - (1 - step) * (batch - old))
            tl.store(running + channel, new.to(running.dtype.element_ty), known)


class _Layout:
    """How a dense tensor is cut into tiles, in the terms of the kernels."""

    def __init__(self, shape: torch.Size, last: bool) -> None:
        self.rows, self.channels = shape[:2]
        self.map_size = shape[2:].numel()
        self.values = self.rows * self.map_size
        channels = min(triton.next_power_of_2(self.channels), MOST_CHANNELS) if last else 1
        lines = min(TILE // channels, triton.next_power_of_2(self.values))
        self.tiles, self.blocks = triton.cdiv(self.values, lines), triton.cdiv(self.channels, channels)
        self.splits = min(self.tiles, MOST_SPLITS, triton.cdiv(PROGRAMS, self.blocks))
        self.lines = {"SPLITS": triton.next_power_of_2(self.splits), "LINE": LINE}
        self.small_grid = (triton.cdiv(self.channels, LINE),)
        self.tile = {"MAP": self.map_size, "LAST": last, "WIDE": shape.numel() > LARGEST_INT32}
        self.tile |= {"VALUES": lines, "CHANNELS": channels, "num_warps": WARPS}

    def partial(self, like: Tensor, *shape: int) -> Tensor:
        """An empty table of partial sums."""
        return like.new_empty(self.splits, *shape, self.channels, dtype=torch.float32)


_layout = lru_cache(1024)(_Layout)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _is_channels_last(x: Tensor) -> bool:
    if x.dim() in _CHANNELS_LAST:
        return x.is_contiguous(memory_format=_CHANNELS_LAST[x.dim()])
    return x.movedim(1, -1).is_contiguous()


def _dense(x: Tensor) -> Tensor:
    """The tensor in one of the two memory formats."""
    return x if x.is_contiguous() or _is_channels_last(x) else x.contiguous()


@torch.library.custom_op("oponm::routed_batch_norm", mutates_args=())
def fused_batch_norm(
    x: Tensor,
    of_row: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    noise_weight: Tensor | None,
    noise_bias: Tensor | None,
    eps: float,
    noise_grad: str,
    shared: bool,
    synchronized: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute :func:`~oponm.nn.routed_batch_norm`, or plain batch norm with a limit to gradients of noise rows.

    Args:
        x: (N, C) or (N, C, *), float32, bfloat16 or float16, not empty; other memory formats than contiguous and
            channels last are copied.
        of_row: (N,), int64, the group of each row.
        weight: gamma, (C,), or None for 1.
        bias: beta, (C,), or None for 0.
        noise_weight: gamma of the noise rows; None shares ``weight``.
        noise_bias: beta of the noise rows; None shares ``bias``.
        eps: added to the variance.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``.
        shared: whether both groups have the statistics of all rows, see :class:`~oponm.nn.shared.SharedBatchNorm2d`.
        synchronized: whether the groups are those of all processes.

    Returns:
        Output, means, variances and values per channel, as in :class:`~oponm.nn.functional.Routed`.
    """
    x = _dense(x)
    output = torch.empty_like(x)
    mean, var = (x.new_empty(2, x.shape[1], dtype=torch.float32) for _ in range(2))
    count = of_row.new_empty(2)
    layout = _layout(x.shape, _is_channels_last(x))
    partial = layout.partial(x, 2, 3)
    size = (layout.values, layout.channels)
    with torch.cuda.device_of(x):
        _moments_kernel[layout.splits, layout.blocks](x, of_row, partial, *size, SHARED=shared, **layout.tile)
        _statistics_kernel[layout.small_grid](
            *(partial, of_row, mean, var, count, layout.rows, layout.channels, layout.splits),
            **layout.lines,
            MAP=layout.map_size,
            ROWS=min(triton.next_power_of_2(layout.rows), 1024),
            SHARED=shared,
        )
        if synchronized:
            mean, var, numel = merge_over_processes(mean, var, count.unsqueeze(1))
            count = numel.squeeze(1)
        _normalize_kernel[layout.tiles, layout.blocks](
            x, of_row, mean, var, count, weight, bias, noise_weight, noise_bias, output, *size, eps, **layout.tile
        )
    return output, mean, var, count


@fused_batch_norm.register_fake
def _(x: Tensor, of_row: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mean, var = (x.new_empty(2, x.shape[1], dtype=torch.float32) for _ in range(2))
    return torch.empty_like(_dense(x)), mean, var, of_row.new_empty(2)


@torch.library.custom_op("oponm::routed_batch_norm_backward", mutates_args=())
def _fused_backward(
    grad: Tensor,
    x: Tensor,
    of_row: Tensor,
    weight: Tensor | None,
    noise_weight: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    eps: float,
    noise_grad: str,
    own_affine: bool,
    shared: bool,
    synchronized: bool,
    wanted: bool,
) -> tuple[Tensor, Tensor]:
    x = _dense(x)
    if grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    layout = _layout(x.shape, _is_channels_last(x))
    size = (layout.values, layout.channels)
    partial = layout.partial(x, 2, 2)
    sums, affine = (x.new_empty(4, layout.channels, dtype=torch.float32) for _ in range(2))
    stops = noise_grad == "none"
    with torch.cuda.device_of(x):
        _sums_kernel[layout.splits, layout.blocks](grad, x, of_row, mean, partial, *size, **layout.tile, STOPS=stops)
        _gradients_kernel[layout.small_grid](
            *(partial, var, count, sums, affine, layout.channels, layout.splits, eps),
            **layout.lines,
            SHARED=shared,
            STOPS=stops,
            FULL=noise_grad == "full",
            OWN=own_affine,
        )
        if not wanted:
            return x.new_empty(0), affine
        if synchronized:
            (sums,) = add_over_processes(sums)
        grad_x = torch.empty_like(x)
        _input_gradient_kernel[layout.tiles, layout.blocks](
            *(grad, x, of_row, mean, var, count, weight, noise_weight, sums, grad_x, *size, eps),
            **layout.tile,
            STOPS=stops,
        )
    return grad_x, affine


@_fused_backward.register_fake
def _(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    wanted = rest[-1]
    grad_x = torch.empty_like(_dense(x)) if wanted else x.new_empty(0)
    return grad_x, x.new_empty(4, x.shape[1], dtype=torch.float32)


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, of_row, weight, bias, noise_weight, noise_bias, ctx.eps, ctx.noise_grad, ctx.shared, ctx.synchronized = inputs
    _, mean, var, count = output
    ctx.mark_non_differentiable(mean, var, count)
    ctx.save_for_backward(x, of_row, weight, noise_weight, mean, var, count)
    ctx.dtypes = [None if part is None else part.dtype for part in (weight, bias, noise_weight, noise_bias)]


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, of_row, weight, noise_weight, mean, var, count = ctx.saved_tensors
    wanted, own_affine = ctx.needs_input_grad, ctx.dtypes[2:] != [None, None]
    grad_x, affine = _fused_backward(
        *(grad, x, of_row, weight, noise_weight, mean, var, count, ctx.eps, ctx.noise_grad, own_affine),
        *(ctx.shared, ctx.synchronized, wanted[0]),
    )
    of_affine = [
        part.to(dtype) if needed else None
        for part, dtype, needed in zip(affine.unbind(), ctx.dtypes, wanted[2:6], strict=True)
    ]
    return grad_x if wanted[0] else None, None, *of_affine, None, None, None, None


fused_batch_norm.register_autograd(_backward, setup_context=_set_up)


@torch.library.custom_op("oponm::track_statistics", mutates_args=("running_mean", "running_var", "num_batches_tracked"))
def track_statistics(
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    momentum: float | None,
) -> None:
    """Compute :func:`~oponm.nn.running.update_running_statistics` in one kernel.

    Args:
        running_mean: (C,).
        running_var: (C,), of unbiased variances.
        num_batches_tracked: scalar, int64.
        mean: (C,), float32, the batch mean.
        var: (C,), float32, the biased batch variance.
        count: scalar, values per channel in the batch.
        momentum: weight of the new batch; None: cumulative average over all batches, as in torch.
    """
    with torch.cuda.device_of(mean):
        _track_kernel[(1,)](
            *(running_mean, running_var, num_batches_tracked, mean, var, count),
            *(0.0 if momentum is None else momentum, mean.numel()),
            LINE=min(triton.next_power_of_2(mean.numel()), 1024),
            AVERAGE=momentum is None,
        )
