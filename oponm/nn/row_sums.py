"""Operations of routed batch norm on whole feature maps: sums over each map, and a scale and a shift of each map.

On the CPU, outside ``torch.compile``, each operation takes as few passes over memory as eager operators allow;
elsewhere they are written simply, for the compiler to fuse. Neither memory format nor order of the rows matters.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PER_ELEMENT = 0  # the code of reduction="none"


def row_moments(values: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and biased variance of each row's map.

    Args:
        values: (N, C) or (N, C, *).
        scratch: like ``values``; its content is lost.

    Returns:
        Mean and variance, both (N, C).

    Example:
        >>> mean, variance = row_moments(torch.tensor([[[1.0, 3.0]]]), torch.empty(1, 1, 2))
        >>> mean.item(), variance.item()
        (2.0, 1.0)
    """
    dims = _map_dims(values)
    if not dims:
        return values, torch.zeros_like(values)
    if not on_eager_cpu(values):
        variance, mean = torch.var_mean(values, dims, correction=0)
        return mean, variance
    # torch.var_mean handles one value at a time here; a second pass of vectorized operators takes a tenth of its time.
    mean = values.mean(dims, keepdim=True)
    torch.ops.aten.mse_loss.out(values, mean, _PER_ELEMENT, out=scratch)  # the squared deviations
    return mean.flatten(1), scratch.mean(dims)


def twice_row_products(grad: Tensor, values: Tensor, center: Tensor, scratch: Tensor) -> Tensor:
    """Compute ``2 * sum(grad * (values - center))`` over each row's map.

    Args:
        grad: (N, C) or (N, C, *).
        values: like ``grad``.
        center: (N, C).
        scratch: like ``grad``; its content is lost.

    Returns:
        (N, C).

    Example:
        >>> ones = torch.ones(1, 1, 2)
        >>> twice_row_products(2 * ones, 5 * ones, torch.ones(1, 1), torch.empty(1, 1, 2)).item()
        32.0
    """
    center = as_map(center, values)
    if not on_eager_cpu(values):
        return row_sums(2 * grad * (values - center))
    torch.ops.aten.mse_loss_backward.grad_input(grad, values, center, _PER_ELEMENT, grad_input=scratch)
    return row_sums(scratch)


def row_sums(values: Tensor) -> Tensor:
    """Return the sum over each row's map, (N, C), of values (N, C) or (N, C, *).

    Example:
        >>> row_sums(torch.ones(1, 1, 2, 3)).item()
        6.0
    """
    dims = _map_dims(values)
    return values.sum(dims) if dims else values


def scale_and_shift(values: Tensor, scale: Tensor, shift: Tensor, out: Tensor) -> Tensor:
    """Write ``values * scale + shift`` into ``out``.

    Args:
        values: (N, C) or (N, C, *).
        scale: factors, broadcast over the maps of ``values``.
        shift: summands, broadcast likewise.
        out: like ``values``.

    Returns:
        ``out``.

    Example:
        >>> scale_and_shift(torch.ones(1, 1), torch.tensor([2.0]), torch.tensor([3.0]), torch.empty(1, 1))
        tensor([[5.]])
    """
    if on_eager_cpu(values) and values.is_contiguous():
        return torch.mul(values, scale, out=out).add_(shift)  # addcmul with two numbers per map is not vectorized
    return torch.addcmul(shift, values, scale, out=out)


def as_map(table: Tensor, x: Tensor) -> Tensor:
    """Reshape a table (N, C) to (N, C, 1, ...), for broadcasting over the maps of ``x``.

    Example:
        >>> as_map(torch.ones(8, 3), torch.ones(8, 3, 4, 4)).shape
        torch.Size([8, 3, 1, 1])
    """
    return table.reshape(*table.shape, *([1] * (x.dim() - 2)))


def _map_dims(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


def on_eager_cpu(x: Tensor) -> bool:
    """Whether operators on ``x`` run one by one on the CPU.

    Example:
        >>> on_eager_cpu(torch.ones(1))
        True
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
