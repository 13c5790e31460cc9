"""Gives batch-norm layers the noise mask of the current batch (its route), without a mask argument in ``forward``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakSet

import torch
from torch import Tensor

from oponm.errors import InputError
from oponm.nn.groups import Groups, make_groups
from oponm.nn.processes import any_process
from oponm.nn.slices import leading_natural_rows


@dataclass(eq=False)
class Route:
    """The noise mask of one forward pass.

    Attributes:
        is_noise: (N,), bool.
        groups: the mask in the form that layers need.
        has_noise: False if the batch is known to have no noise row; True also if that is unknown.
        natural_first: number of natural rows, if all of them are known to come before the noise rows, else None; see
            :func:`~oponm.nn.slices.leading_natural_rows`.
        pending: layers that ran under this route and wait for their backward pass.
        of_block: True if the route is that of a :func:`noise_routing` block, False if a layer made it for itself, for a
            batch without noise.
        tracked: whether layers update their running statistics.
    """

    is_noise: Tensor
    groups: Groups
    has_noise: bool
    natural_first: int | None = None
    pending: int = 0
    of_block: bool = True
    tracked: bool = True
    _anywhere: bool | None = None

    def has_noise_anywhere(self) -> bool:
        """Whether any process has a noise row in this pass; every process must call it. The result is cached."""
        if self._anywhere is None:
            known = self.is_noise.device.type == "cpu"
            self._anywhere = any_process(self.has_noise) if known else True
        return self._anywhere

    def await_backward(self, output: Tensor) -> None:
        """Count a layer's output as waiting, until its backward pass has run or its graph is freed."""
        if self.of_block and output.grad_fn is not None:
            self.pending += 1
            output.grad_fn.register_hook(self._backward_done)
            _routing.routes.add(self)

    def _backward_done(self, *_: object) -> None:
        self.pending -= 1


@dataclass
class _Routing:
    """Process-wide, not thread-local: autograd recomputes checkpointed layers in its own threads."""

    current: Route | None = None
    last: Route | None = None
    routes: WeakSet[Route] = field(default_factory=WeakSet)  # alive as long as a graph that uses them


_routing = _Routing()


@contextmanager
def noise_routing(is_noise: Tensor | None) -> Iterator[None]:
    """Set which rows of the batch are noise, for the routed batch-norm layers inside the block.

    Blocks nest: the inner mask holds in the inner block, and the outer mask again after it, also after an exception.
    The routing is process-wide, so do not train two models in two threads at once.

    Args:
        is_noise: (N,), bool, in any order (on the CPU natural rows first is faster for ``channels_last`` and bfloat16,
            see :meth:`oponm.noise.Batch.natural_first`); None turns routing off, so that every layer is a plain batch
            norm.

    Raises:
        InputError: if the mask is not a one-dimensional bool tensor. The first layer checks its length.

    Example:
        >>> from oponm.nn import DARBatchNorm1d
        >>> layer = DARBatchNorm1d(1)
        >>> with noise_routing(torch.tensor([False, False, True, True])):
        ...     layer(torch.tensor([[1.0], [3.0], [100.0], [300.0]])).round().flatten().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    with open_route(None if is_noise is None else _make_route(is_noise)):
        yield


@contextmanager
def open_route(route: Route | None) -> Iterator[None]:
    """Context manager that makes a route the current one, as :func:`noise_routing` does for a mask.

    Args:
        route: the route; None turns routing off.

    Example:
        >>> with open_route(natural_route(torch.zeros(3, 2))):
        ...     current_route()[0].is_noise
        tensor([False, False, False])
    """
    outer, _routing.current = _routing.current, route
    try:
        yield
    finally:
        _routing.current = outer
        _routing.last = route


def _make_route(is_noise: Tensor) -> Route:
    if not isinstance(is_noise, Tensor) or is_noise.dtype != torch.bool or is_noise.dim() != 1:
        got = f"{is_noise.dtype} of shape {tuple(is_noise.shape)}" if isinstance(is_noise, Tensor) else type(is_noise)
        raise InputError(f"must be a bool tensor of shape (N,), got {got}", "is_noise")
    # On the CPU a check of the mask costs nothing, and an empty mask spares all layers the work; on an accelerator the
    # check would wait for the device.
    natural = leading_natural_rows(is_noise)
    return Route(is_noise, make_groups(is_noise), has_noise=natural != len(is_noise), natural_first=natural)


def natural_route(x: Tensor) -> Route:
    """Make the route of a batch without noise.

    Args:
        x: the batch, (N, ...).

    Example:
        >>> natural_route(torch.zeros(3, 2)).is_noise
        tensor([False, False, False])
    """
    is_noise = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    return Route(is_noise, make_groups(is_noise), has_noise=False, of_block=False)


def noise_route(x: Tensor) -> Route:
    """Make the route of a forward pass of noise rows only, for use after the forward pass of the natural rows.

    Running statistics are not updated in this pass: they describe natural rows, and the backward pass of the first
    forward pass still needs them unchanged.

    Args:
        x: the noise rows, (N, ...).

    Example:
        >>> noise_route(torch.zeros(3, 2)).is_noise
        tensor([True, True, True])
    """
    is_noise = torch.ones(len(x), dtype=torch.bool, device=x.device)
    return Route(is_noise, make_groups(is_noise), has_noise=True, natural_first=0, tracked=False)


def current_route() -> tuple[Route | None, bool]:
    """The route for a layer's forward pass, and whether that pass is a recomputation.

    ``torch.utils.checkpoint`` runs forward passes again during the backward pass, when the :func:`noise_routing` block
    of the first pass is closed. The route is then the only one whose graph still waits for its backward pass.

    Raises:
        RuntimeError: during a recomputation, if several routed passes wait for one backward pass, and the recomputed
            one is unknown.
    """
    if torch.compiler.is_compiling() or torch._C._current_graph_task_id() == -1:
        return _routing.current, False
    if _routing.current is not None:
        return _routing.current, True
    waiting = [route for route in _routing.routes if route.pending > 0]
    if len(waiting) > 1:
        raise RuntimeError(
            "torch.utils.checkpoint recomputes a forward pass, and it is unknown which one, as several noise_routing "
            "passes wait for their backward pass: run the backward pass of each batch before the next forward pass, "
            "free the outputs of a batch that gets none, or call backward inside its noise_routing block"
        )
    return (waiting[0] if waiting else _routing.last), True
