"""Auxiliary batch norm: a second, complete batch norm for noise rows, to compare DAR-BN with."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from oponm.nn.dar import RoutedBatchNorm
from oponm.nn.functional import Routed
from oponm.nn.routing import Route
from oponm.nn.running import update_running_statistics

_AFFINE = ("weight", "bias")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class AuxRoutedBatchNorm(RoutedBatchNorm):
    """Adds to :class:`~oponm.nn.dar.RoutedBatchNorm` a separate gamma, beta and running statistics for noise rows.

    They start as copies of those of natural rows, and have the same names with the prefix ``aux_``. A state dict
    without them, such as a pretrained network's, can be loaded: they become copies of the loaded ones.
    """

    prefix = "Aux"
    aux_weight: Tensor | None
    aux_bias: Tensor | None
    aux_running_mean: Tensor | None
    aux_running_var: Tensor
    aux_num_batches_tracked: Tensor

    def set_up_routing(self, noise_grad: str) -> None:
        """Register the second set of parameters and buffers."""
        super().set_up_routing(noise_grad)
        for name in _AFFINE:
            main = getattr(self, name)
            copy = None if main is None else nn.Parameter(main.detach().clone(), main.requires_grad)
            self.register_parameter(f"aux_{name}", copy)
        for name in _BUFFERS:
            main = getattr(self, name)
            self.register_buffer(f"aux_{name}", None if main is None else main.clone())

    def tear_down_routing(self) -> None:
        """Remove the second set of parameters and buffers."""
        super().tear_down_routing()
        for name in (*_AFFINE, *_BUFFERS):
            delattr(self, f"aux_{name}")

    def _normalize(self, x: Tensor, route: Route, weight: Tensor | None, bias: Tensor | None, eps: float) -> Routed:
        # Outside a block there is no noise, and the second set gets no gradient.
        of_noise = (self.aux_weight, self.aux_bias) if route.of_block else (None, None)
        affine = (weight, bias, *of_noise)
        return self._grouped(x, route, affine, eps)

    def _track(self, routed: Routed) -> None:
        super()._track(routed)
        if self.aux_running_mean is not None:
            update_running_statistics(
                self.aux_running_mean,
                self.aux_running_var,
                self.aux_num_batches_tracked,
                routed.mean[1],
                routed.var[1],
                routed.numel[1],
                self.momentum,
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        filled = {}
        for name in (*_AFFINE, *_BUFFERS):
            main = state_dict.get(f"{prefix}{name}")
            if main is None and name == "num_batches_tracked":  # weights saved before torch 0.4.1 lack it
                main = self.num_batches_tracked
            if main is not None and f"{prefix}aux_{name}" not in state_dict:
                filled[f"{prefix}aux_{name}"] = main.clone()
        super()._load_from_state_dict({**state_dict, **filled}, prefix, *args)


class AuxBatchNorm1d(AuxRoutedBatchNorm, nn.BatchNorm1d):
    """Auxiliary batch norm over (N, C) or (N, C, L); see :class:`AuxBatchNorm2d`.

    Example:
        >>> sorted(name for name, _ in AuxBatchNorm1d(4).named_parameters())
        ['aux_bias', 'aux_weight', 'bias', 'weight']
    """


class AuxBatchNorm2d(AuxRoutedBatchNorm, nn.BatchNorm2d):
    """A second complete batch norm for noise rows, over (N, C, H, W).

    Like :class:`~oponm.nn.DARBatchNorm2d`, but noise rows have their own gamma, beta and running statistics.
    Evaluation uses those of natural rows only.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None: cumulative average over all batches, as in
            torch.
        affine: whether to learn gamma and beta, of both kinds of rows.
        track_running_stats: whether to keep running statistics, of both kinds of rows.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``, see
            :func:`~oponm.nn.routed_batch_norm`. Only ``"full"``, the practice of the literature, trains the gamma and
            beta of noise rows.

    References:
        Xie et al., "Adversarial Examples Improve Image Recognition" (AdvProp), CVPR 2020.

    Example:
        >>> import torch
        >>> from oponm.nn import noise_routing
        >>> layer = AuxBatchNorm2d(16, noise_grad="full")
        >>> with noise_routing(torch.arange(8) >= 6):
        ...     layer(torch.randn(8, 16, 4, 4)).shape
        torch.Size([8, 16, 4, 4])
    """


class AuxBatchNorm3d(AuxRoutedBatchNorm, nn.BatchNorm3d):
    """Auxiliary batch norm over (N, C, D, H, W); see :class:`AuxBatchNorm2d`.

    Example:
        >>> import torch
        >>> AuxBatchNorm3d(4)(torch.randn(2, 4, 2, 2, 2)).shape
        torch.Size([2, 4, 2, 2, 2])
    """
