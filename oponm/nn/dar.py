"""DAR-BN layers: subclasses of torch's batch norm that read the route of the batch."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from oponm.errors import check_choice
from oponm.nn.functional import NOISE_GRADS, Routed, check_mask, grouped_batch_norm
from oponm.nn.processes import several_processes
from oponm.nn.routing import Route, current_route, natural_route
from oponm.nn.running import update_running_statistics
from oponm.nn.slices import suits_slices


class RoutedBatchNorm(_BatchNorm):
    """Mixin that adds the routing to a batch-norm class; it comes before that class among the bases.

    Outside of :func:`~oponm.nn.noise_routing`, in evaluation mode, and if no row is noise, the results are those of
    that class to the bit. A subclass with its own ``forward`` (such as an activation after the norm) keeps it: only its
    call of ``F.batch_norm`` is routed.

    Args:
        *args: arguments of the batch-norm class.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``, see
            :func:`~oponm.nn.routed_batch_norm`.
        **kwargs: arguments of the batch-norm class.
    """

    prefix = "DAR"  # prefix of the names of classes made by conversion
    separates_noise = True
    noise_grad: str = "none"
    synchronized: bool = False  # set by synchronize_batchnorm

    def __init__(self, *args: Any, noise_grad: str = "none", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_up_routing(noise_grad)

    def set_up_routing(self, noise_grad: str) -> None:
        """Add the attributes that routing needs to a batch norm; called once, also on conversion."""
        check_choice("noise_grad", noise_grad, NOISE_GRADS)
        self.noise_grad = noise_grad

    def tear_down_routing(self) -> None:
        """Remove what :meth:`set_up_routing` added."""
        del self.noise_grad
        self.__dict__.pop("synchronized", None)

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Normalize (N, C, *) ``input``, in the shapes of the plain layer."""
        route, recomputing = current_route() if self.training else (None, False)
        if route is not None:
            check_mask(route.is_noise, input)
            route = route if self.separates_noise else None
        if self.training and self._shares_statistics:
            if route is None or not route.has_noise_anywhere():
                route = natural_route(input)
        elif route is None or not route.has_noise:
            return super().forward(input, *args, **kwargs)
        if _has_plain_forward(type(self)):
            self._check_input_dim(input)
            return self._routed(route, recomputing, input, self.weight, self.bias, self.eps)
        with _RouteBatchNormCall(self, route, recomputing):
            return super().forward(input, *args, **kwargs)

    @property
    def _shares_statistics(self) -> bool:
        return self.synchronized and several_processes()

    def _routed(
        self, route: Route, recomputing: bool, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        routed = self._normalize(x, route, weight, bias, eps)
        if not recomputing:
            if route.tracked:
                self._track(routed)
            if not torch.compiler.is_compiling():
                route.await_backward(routed.output)
        return routed.output

    def _normalize(self, x: Tensor, route: Route, weight: Tensor | None, bias: Tensor | None, eps: float) -> Routed:
        output_alone = not route.tracked and not torch.is_grad_enabled() and not self._shares_statistics
        # Without gamma, torch rounds statistics to bfloat16.
        if output_alone and weight is not None and suits_slices(x, route.natural_first):
            return _of_noise_alone(x, weight, bias, eps)
        affine = (weight, bias, None, None)
        return self._grouped(x, route, affine, eps)

    def _grouped(
        self,
        x: Tensor,
        route: Route,
        affine: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
        eps: float,
    ) -> Routed:
        # A compiled graph must not depend on the number of natural rows.
        first = None if torch.compiler.is_compiling() else route.natural_first
        return grouped_batch_norm(x, route.groups, *affine, eps, self.noise_grad, self._shares_statistics, first)

    def _track(self, routed: Routed) -> None:
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            update_running_statistics(
                self.running_mean,
                self.running_var,
                self.num_batches_tracked,
                routed.mean[0],
                routed.var[0],
                routed.numel[0],
                self.momentum,
            )

    def extra_repr(self) -> str:
        """The plain layer's description, and ``noise_grad``."""
        return f"{super().extra_repr()}, noise_grad={self.noise_grad}"


def _has_plain_forward(cls: type) -> bool:
    base = cls.__mro__[cls.__mro__.index(RoutedBatchNorm) + 1]
    return base.forward is _BatchNorm.forward  # type: ignore[attr-defined]


def _of_noise_alone(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Routed:
    """Normalize rows of one group without a graph and without returning statistics."""
    output = torch.batch_norm(x, weight, bias, None, None, True, 0.0, eps, False)
    return Routed(output, *[output.new_empty(0)] * 3)


_BATCH_NORM = inspect.signature(nn.functional.batch_norm)


class _RouteBatchNormCall(TorchFunctionMode):
    """Replace ``F.batch_norm`` by the routed one inside a subclass's own ``forward``."""

    def __init__(self, layer: RoutedBatchNorm, route: Route, recomputing: bool) -> None:
        super().__init__()
        self.layer, self.route, self.recomputing = layer, route, recomputing
        tracked = layer.num_batches_tracked
        self.tracked_before = None if tracked is None else tracked.clone()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = _BATCH_NORM.bind(*args, **(kwargs or {})) if func is nn.functional.batch_norm else None
        if call is None or not call.arguments.get("training", False):
            return func(*args, **(kwargs or {}))
        call.apply_defaults()
        x, weight, bias, eps = (call.arguments[name] for name in ("input", "weight", "bias", "eps"))
        if self.tracked_before is not None and self.layer.num_batches_tracked is not None:
            # The first forward pass has counted this batch, even if it has no natural row.
            self.layer.num_batches_tracked.copy_(self.tracked_before)
        return self.layer._routed(self.route, self.recomputing, x, weight, bias, eps)


class DARBatchNorm1d(RoutedBatchNorm, nn.BatchNorm1d):
    """Distribution-aware routing batch norm over (N, C) or (N, C, L); see :class:`DARBatchNorm2d`.

    Example:
        >>> DARBatchNorm1d(4, noise_grad="full")
        DARBatchNorm1d(4, ..., noise_grad=full)
    """


class DARBatchNorm2d(RoutedBatchNorm, nn.BatchNorm2d):
    """Distribution-aware routing batch norm (DAR-BN) over (N, C, H, W).

    Inside :func:`~oponm.nn.noise_routing`, in training mode, natural rows pass an ordinary batch norm; noise rows are
    standardized by their own mean and variance and then scaled by the same gamma and beta. Running statistics come from
    natural rows only. State dict and evaluation are those of ``nn.BatchNorm2d``: it loads pretrained weights, and
    ``nn.BatchNorm2d`` can load its weights. If the natural or the noise rows have a single value per channel, their
    output is beta.

    Args:
        num_features: channels C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None: cumulative average over all batches, as in
            torch.
        affine: whether to learn gamma and beta.
        track_running_stats: whether to keep running statistics; without them evaluation uses the batch's.
        noise_grad: how far gradients of noise rows reach. ``"none"``: nowhere, the output of noise rows is a constant;
            ``"input"``: to the input, not to gamma and beta; ``"full"``: to all three.

    References:
        Zada, Benou, Irani, "Pure Noise to the Rescue of Insufficient Data", ICML 2022, Sec. 4, which leaves
        ``noise_grad`` open: its listing is ``"none"``, as is the reproduction by Lee & Lee, ReScience C 2023; its
        figure is ``"input"``.

    Example:
        >>> from oponm.nn import noise_routing
        >>> layer = DARBatchNorm2d(16)
        >>> images = torch.randn(8, 16, 4, 4)
        >>> with noise_routing(torch.arange(8) >= 6):
        ...     layer(images).shape
        torch.Size([8, 16, 4, 4])
    """


class DARBatchNorm3d(RoutedBatchNorm, nn.BatchNorm3d):
    """Distribution-aware routing batch norm over (N, C, D, H, W); see :class:`DARBatchNorm2d`.

    Example:
        >>> DARBatchNorm3d(4)(torch.randn(2, 4, 2, 2, 2)).shape
        torch.Size([2, 4, 2, 2, 2])
    """
