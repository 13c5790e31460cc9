"""Batch norm with one set of statistics that can stop gradients of noise rows: a baseline for DAR-BN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.nn.dar import RoutedBatchNorm
from oponm.nn.functional import Routed, grouped_batch_norm, statistics_dtype
from oponm.nn.kernel import runs_on_triton
from oponm.nn.routing import Route, natural_route
from oponm.nn.row_sums import as_map


class SharedRoutedBatchNorm(RoutedBatchNorm):
    """Standardizes natural and noise rows by one set of statistics, as plain batch norm does.

    Values, running statistics and state dict are those of plain batch norm; only gradients of noise rows stop where
    ``noise_grad`` says. Under ``"input"``, gradients of noise rows still reach natural rows through the shared
    statistics, and so gamma and beta of the layers below. Under ``"full"`` there is no difference, and
    :func:`~oponm.nn.convert_batchnorm` keeps the plain layer.
    """

    prefix = "Shared"

    def _normalize(self, x: Tensor, route: Route, weight: Tensor | None, bias: Tensor | None, eps: float) -> Routed:
        if not route.of_block:  # no process has noise: equal to the other kinds to the bit
            return super()._normalize(x, route, weight, bias, eps)
        if runs_on_triton(x):
            from oponm.nn.triton_kernels import fused_batch_norm

            affine, shares = (weight, bias, None, None), self._shares_statistics
            return Routed(*fused_batch_norm(x, route.groups.of_row, *affine, eps, self.noise_grad, True, shares))
        dtype, x = x.dtype, x.to(statistics_dtype(x))  # so that rounding happens once, at the end
        is_noise = as_map(route.is_noise.unsqueeze(1), x)
        if self.noise_grad == "none":  # not through the shared statistics either
            x = torch.where(is_noise, x.detach(), x)
        groups = natural_route(x).groups
        no_affine = (None, None, None, None)
        routed = grouped_batch_norm(x, groups, *no_affine, eps, "full", self._shares_statistics)
        output = _affine(routed.output, weight, bias)
        if self.noise_grad != "full":
            natural_only = routed.output.detach() if self.noise_grad == "none" else routed.output
            frozen = (None if part is None else part.detach() for part in (weight, bias))
            output = torch.where(is_noise, _affine(natural_only, *frozen), output)
        return routed._replace(output=output.to(dtype))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale by gamma and shift by beta, in the precision of x."""
    scaled = x if weight is None else x * as_map(weight.unsqueeze(0), x).to(x.dtype)
    return scaled if bias is None else scaled + as_map(bias.unsqueeze(0), x).to(x.dtype)


class SharedBatchNorm1d(SharedRoutedBatchNorm, nn.BatchNorm1d):
    """Shared statistics over (N, C) or (N, C, L); see :class:`SharedBatchNorm2d`.

    Example:
        >>> SharedBatchNorm1d(4, noise_grad="input")
        SharedBatchNorm1d(4, ..., noise_grad=input)
    """


class SharedBatchNorm2d(SharedRoutedBatchNorm, nn.BatchNorm2d):
    """Batch norm over (N, C, H, W) with one set of statistics for all rows, and a limit to gradients of noise rows.

    Compared with DAR-BN it shows whether separate statistics matter when gradients of noise rows reach equally far: the
    published comparison of DAR-BN and plain batch norm differs in both.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None: cumulative average over all batches, as in
            torch.
        affine: whether to learn gamma and beta.
        track_running_stats: whether to keep running statistics, of all rows.
        noise_grad: how far gradients of noise rows reach. ``"none"``: nowhere, noise rows are constants in the
            statistics too; ``"input"``: to the input, not to gamma and beta; ``"full"``: plain batch norm.

    Example:
        >>> from oponm.nn import noise_routing
        >>> layer = SharedBatchNorm2d(16)
        >>> with noise_routing(torch.arange(8) >= 6):
        ...     layer(torch.randn(8, 16, 4, 4)).shape
        torch.Size([8, 16, 4, 4])
    """


class SharedBatchNorm3d(SharedRoutedBatchNorm, nn.BatchNorm3d):
    """Shared statistics over (N, C, D, H, W); see :class:`SharedBatchNorm2d`.

    Example:
        >>> SharedBatchNorm3d(4)(torch.randn(2, 4, 2, 2, 2)).shape
        torch.Size([2, 4, 2, 2, 2])
    """
