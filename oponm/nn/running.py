"""Updates running statistics of a batch-norm layer without reading anything back from the device."""

from __future__ import annotations

import torch
from torch import Tensor

from oponm.nn.kernel import runs_on_triton


@torch.no_grad()
def update_running_statistics(
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    momentum: float | None,
) -> None:
    """Move running statistics toward a batch's, in place, as ``nn.BatchNorm2d`` does.

    A batch with fewer than two values per channel has no variance and changes nothing.

    Args:
        running_mean: (C,).
        running_var: (C,), of unbiased variances.
        num_batches_tracked: scalar, int64.
        mean: (C,), the batch mean.
        var: (C,), the biased batch variance.
        count: scalar, values per channel in the batch.
        momentum: weight of the new batch; None: cumulative average over all batches, as in torch.

    Example:
        >>> mean, var, batches = torch.zeros(1), torch.ones(1), torch.tensor(0)
        >>> update_running_statistics(mean, var, batches, torch.ones(1), torch.ones(1), torch.tensor(2.0), 0.1)
        >>> mean, var, batches
        (tensor([0.1000]), tensor([1.1000]), tensor(1))
    """
    if runs_on_triton(mean):
        from oponm.nn.triton_kernels import track_statistics

        track_statistics(running_mean, running_var, num_batches_tracked, mean, var, count, momentum)
        return
    measured = count > 1
    num_batches_tracked.add_(measured)
    share = 1 / num_batches_tracked.clamp(min=1).to(mean.dtype) if momentum is None else momentum
    step = measured.to(mean.dtype) * share
    values = count.to(var.dtype)
    unbiased = var * (values / (values - 1).clamp(min=1))
    for running, batch in ((running_mean, mean), (running_var, unbiased)):
        running.lerp_(batch.to(running.dtype), step.to(running.dtype))
