"""Batch norm with one set of statistics for natural rows and one for noise rows, as a pure function."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from oponm.errors import InputError, check_choice
from oponm.nn.groups import Groups, make_groups
from oponm.nn.kernel import runs_on_triton
from oponm.nn.processes import add_over_processes, merge_over_processes
from oponm.nn.row_sums import as_map, row_moments, row_sums, scale_and_shift, twice_row_products
from oponm.nn.slices import leading_natural_rows, sliced_batch_norm, suits_slices

NOISE_GRADS = ("none", "input", "full")


class Routed(NamedTuple):
    """The result of :func:`routed_batch_norm`.

    Attributes:
        output: output, in the shape of the input.
        mean: (2, C), the batch mean of natural rows (0) and of noise rows (1); 0 for a group without a row.
        var: (2, C), the biased batch variance of each group; 0 for a group of fewer than two values.
        numel: (2,), values per channel in each group, i.e. its rows times the size of the map.
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
    r"""Standardize natural and noise rows separately, each by their own batch statistics.

    .. math:: y_n = \gamma_g \frac{x_n - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}} + \beta_g, \quad g = g(n)

    A group with a single value per channel (one row of a 1x1 map) has no variance; its standardized value is defined as
    0, so its output is the bias. A group without rows has no effect.

    All work is done on (N, C) tables of row moments, without indexing by the mask: shapes never depend on the number of
    noise rows, so nothing is read back from the device and ``torch.compile`` compiles once. Only on the CPU, if natural
    rows come first, some inputs go through torch's own batch norm slice by slice, which is faster there
    (:func:`~oponm.nn.slices.suits_slices`). On a GPU, ``OPONM_KERNEL=triton`` takes fused kernels
    (:func:`~oponm.nn.kernel.chosen_kernel`). Statistics are computed in float32 for half-precision input, else in the
    input's precision.

    Args:
        x: (N, C) or (N, C, *), floating point.
        is_noise: (N,), bool, in any order.
        weight: gamma, (C,), or None for 1.
        bias: beta, (C,), or None for 0.
        noise_weight: gamma of the noise rows; None shares ``weight`` (DAR-BN).
        noise_bias: beta of the noise rows; None shares ``bias``.
        eps: added to the variance.
        noise_grad: how far gradients of noise rows reach. ``"none"``: nowhere, the noise branch is a constant;
            ``"input"``: to ``x``, not to gamma and beta; ``"full"``: to ``x`` and to their gamma and beta.

    Returns:
        Output and the statistics of both groups; only the output carries gradients.

    Raises:
        InputError: for an unknown ``noise_grad``, or a mask that does not fit ``x``.

    References:
        Zada, Benou, Irani, "Pure Noise to the Rescue of Insufficient Data", ICML 2022, Sec. 4 and Algorithm 2. The
        paper leaves open which of the three values of ``noise_grad`` it used.

    Example:
        >>> x = torch.tensor([[1.0], [3.0], [100.0], [300.0]])
        >>> is_noise = torch.tensor([False, False, True, True])
        >>> routed_batch_norm(x, is_noise).output.round().flatten().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    check_choice("noise_grad", noise_grad, NOISE_GRADS)
    check_mask(is_noise, x)
    natural = leading_natural_rows(is_noise)
    affine = (weight, bias, noise_weight, noise_bias)
    return grouped_batch_norm(x, make_groups(is_noise), *affine, eps, noise_grad, natural_first=natural)


def grouped_batch_norm(
    x: Tensor,
    groups: Groups,
    weight: Tensor | None,
    bias: Tensor | None,
    noise_weight: Tensor | None,
    noise_bias: Tensor | None,
    eps: float,
    noise_grad: str,
    synchronized: bool = False,
    natural_first: int | None = None,
) -> Routed:
    """Compute :func:`routed_batch_norm` for groups that are made once for many layers.

    Args:
        x: (N, C) or (N, C, *), floating point.
        groups: groups of the rows of ``x``.
        weight: gamma, (C,), or None for 1.
        bias: beta, (C,), or None for 0.
        noise_weight: gamma of the noise rows; None shares ``weight``.
        noise_bias: beta of the noise rows; None shares ``bias``.
        eps: added to the variance.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``.
        synchronized: whether statistics are over the rows of all processes of ``torch.distributed``'s default group,
            in the forward and in the backward pass. Every process must call the function with its own rows, even if it
            has no row of a group. Gradients of gamma and beta are those of the process's own rows;
            ``DistributedDataParallel`` then averages them.
        natural_first: number of natural rows, if all are known to come before the noise rows; else None.

    Returns:
        Output and the statistics of both groups; statistics and ``numel`` are those of all processes.

    Raises:
        InputError: if the groups do not fit ``x``.

    Example:
        >>> x, groups = torch.tensor([[1.0], [3.0]]), make_groups(torch.tensor([False, False]))
        >>> grouped_batch_norm(x, groups, None, None, None, None, 1e-5, "none").output.round().flatten().tolist()
        [-1.0, 1.0]
    """
    check_mask(groups.of_row, x)
    affine = (weight, bias, noise_weight, noise_bias)
    if runs_on_triton(x):
        from oponm.nn.triton_kernels import fused_batch_norm

        return Routed(*fused_batch_norm(x, groups.of_row, *affine, eps, noise_grad, False, synchronized))
    if natural_first is not None and not synchronized and suits_slices(x, natural_first):
        return Routed(*sliced_batch_norm(x, natural_first, *affine, eps, noise_grad))
    return Routed(*_RoutedBatchNorm.apply(x, *groups, *affine, eps, noise_grad, synchronized))


def check_mask(is_noise: Tensor, x: Tensor) -> None:
    """Raise an :class:`~oponm.errors.InputError` unless the mask has one entry per row of ``x``, on its device."""
    if is_noise.shape != x.shape[:1]:
        raise InputError(
            f"has shape {tuple(is_noise.shape)}, but this batch-norm layer got an input of shape {tuple(x.shape)}: "
            "give noise_routing one entry for each row that reaches the layer",
            "is_noise",
        )
    if is_noise.device != x.device:
        raise InputError(f"is on {is_noise.device}, the input on {x.device}: move the mask", "is_noise")


class _RoutedBatchNorm(torch.autograd.Function):
    """Scales and shifts each row; the backward pass is the closed form of batch norm's, group by group.

    For float32, output and gradient of the input are the only tensors of the input's size, and serve as scratch memory
    before they are written: touching new memory costs more than all passes over it. For small maps the number of
    operators on tables decides the time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        of_row: Tensor,
        rows: Tensor,
        divisor: Tensor,
        member: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        noise_weight: Tensor | None,
        noise_bias: Tensor | None,
        eps: float,
        noise_grad: str,
        synchronized: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        groups = Groups(of_row, rows, divisor, member)
        values = x.to(statistics_dtype(x))
        output = torch.empty_like(values)
        row_mean, row_var = row_moments(values, scratch=output)
        mean = groups.sums(row_mean) / divisor  # (2, C)
        offset = row_mean - groups.lines(mean)
        var = groups.sums(torch.addcmul(row_var, offset, offset)) / divisor
        map_size = x.numel() // max(row_mean.numel(), 1)
        numel = rows * map_size
        if synchronized:
            mean, var, numel = merge_over_processes(mean, var, numel)
        rstd = (var + eps).rsqrt()
        if map_size == 1:
            rstd = torch.where(numel > 1, rstd, 0)

        scale = _times(rstd, _pair(weight, noise_weight, rstd))
        beta = _pair(bias, noise_bias, rstd)
        shift = mean * -scale if beta is None else torch.addcmul(beta, mean, scale, value=-1)
        scale_and_shift(values, as_map(groups.lines(scale), x), as_map(groups.lines(shift), x), out=output)

        ctx.save_for_backward(x, *groups, weight, noise_weight, mean, rstd, numel)
        ctx.noise_grad, ctx.synchronized = noise_grad, synchronized
        count = numel.squeeze(1)
        ctx.mark_non_differentiable(mean, var, count)
        return output.to(x.dtype), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, *of_groups, weight, noise_weight, mean, rstd, numel = ctx.saved_tensors
        groups, wanted = Groups(*of_groups), ctx.needs_input_grad
        values, grad = x.to(mean.dtype), grad.to(mean.dtype)
        grad_x = torch.empty_like(values)
        products = twice_row_products(grad, values, groups.lines(mean), scratch=grad_x)
        grad_weight = groups.sums(products) * rstd.mul(0.5)  # (2, C)
        grad_bias = groups.sums(row_sums(grad))

        if wanted[0]:
            # a * (grad - mean(grad) - standardized * mean(grad * standardized)), a = gamma * rstd
            a = _times(rstd, _pair(weight, noise_weight, rstd))
            if ctx.noise_grad == "none":
                a = torch.stack([a[0], torch.zeros_like(a[1])])
            share = a / -numel.clamp(min=1)
            sums = (grad_weight, grad_bias)
            of_weight, of_bias = add_over_processes(*sums) if ctx.synchronized else sums
            b = share * rstd * of_weight
            c = torch.addcmul(share * of_bias, b, mean, value=-1)
            a, b, c = (as_map(groups.lines(table), x) for table in (a, b, c))
            scale_and_shift(grad, a, c, out=grad_x).addcmul_(values, b)

        shared, full = noise_weight is None, ctx.noise_grad == "full"
        grads = {}
        for name, total in (("weight", grad_weight), ("bias", grad_bias)):
            grads[name] = total.sum(0) if shared and full else total[0]
            grads[f"noise_{name}"] = total[1] if full else torch.zeros_like(total[1])
        return (
            grad_x.to(x.dtype) if wanted[0] else None,
            *(None, None, None, None),
            grads["weight"] if wanted[5] else None,
            grads["bias"] if wanted[6] else None,
            grads["noise_weight"] if wanted[7] else None,
            grads["noise_bias"] if wanted[8] else None,
            *(None, None, None),
        )


def statistics_dtype(x: Tensor) -> torch.dtype:
    """The precision of statistics: float32 for half-precision input, else the input's precision."""
    return torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype


def _pair(natural: Tensor | None, noise: Tensor | None, like: Tensor) -> Tensor | None:
    """The affine parameters of the two groups, (C,) if they are shared, else (2, C)."""
    if natural is None:
        return None
    return (natural if noise is None else torch.stack([natural, noise])).to(like.dtype)


def _times(table: Tensor, factor: Tensor | None) -> Tensor:
    return table if factor is None else table * factor
