"""Collectives over ``torch.distributed``'s default group for a batch that is split over its processes."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def several_processes() -> bool:
    """Whether ``torch.distributed`` is set up with more than one process.

    Example:
        >>> several_processes()
        False
    """
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def any_process(answer: bool) -> bool:
    """Whether the answer is true in any process; every process must call it.

    Args:
        answer: this process's answer.
    """
    found = torch.tensor(int(answer))
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found)


def merge_over_processes(mean: Tensor, var: Tensor, numel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Compute mean, biased variance and number of values of each group over the rows of all processes.

    .. math:: \mu = \sum_k \frac{n_k}{n} \mu_k, \quad
        \sigma^2 = \sum_k \frac{n_k}{n} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    The result is the same to the bit in every process, as each sums the same numbers in the same order.

    Args:
        mean: (G, C), mean of this process's rows; a group without rows is ignored.
        var: (G, C), biased variance.
        numel: (G, 1), int64, values per channel.

    Returns:
        The same three over all processes.

    References:
        Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    # Counts are sent in the statistics' dtype: float32 is exact up to 2^24, and nearly so above.
    mine = torch.cat([mean, var, numel.to(mean.dtype)], dim=1)
    gathered = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, mine)
    channels = mean.shape[1]
    means, variances, counts = torch.stack(gathered).split([channels, channels, 1], dim=2)
    total = counts.sum(0)
    shares = counts / total.clamp(min=1)
    merged = (shares * means).sum(0)
    spread = (shares * (variances + (means - merged).square())).sum(0)
    return merged, spread, total.round().long()


def add_over_processes(*tables: Tensor) -> list[Tensor]:
    """Sum tables of one shape over all processes, in one collective.

    Args:
        *tables: (G, C).

    Returns:
        The summed tables.
    """
    total = torch.stack(tables)
    distributed.all_reduce(total)
    return list(total)
