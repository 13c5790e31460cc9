"""Converts the batch norm of any network in place, and back."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from oponm.errors import InputError, check_choice
from oponm.nn.aux import AuxBatchNorm1d, AuxBatchNorm2d, AuxBatchNorm3d, AuxRoutedBatchNorm
from oponm.nn.dar import DARBatchNorm1d, DARBatchNorm2d, DARBatchNorm3d, RoutedBatchNorm
from oponm.nn.functional import NOISE_GRADS
from oponm.nn.shared import SharedBatchNorm1d, SharedBatchNorm2d, SharedBatchNorm3d, SharedRoutedBatchNorm

USUAL_NOISE_GRAD = {"dar": "none", "aux": "full", "standard": "full"}  # default of each kind
_ROUTING: dict[str, Any] = {"dar": RoutedBatchNorm, "aux": AuxRoutedBatchNorm, "standard": SharedRoutedBatchNorm}
_NAMED: dict[Any, dict[Any, Any]] = {
    RoutedBatchNorm: {
        nn.BatchNorm1d: DARBatchNorm1d,
        nn.BatchNorm2d: DARBatchNorm2d,
        nn.BatchNorm3d: DARBatchNorm3d,
    },
    AuxRoutedBatchNorm: {
        nn.BatchNorm1d: AuxBatchNorm1d,
        nn.BatchNorm2d: AuxBatchNorm2d,
        nn.BatchNorm3d: AuxBatchNorm3d,
    },
    SharedRoutedBatchNorm: {
        nn.BatchNorm1d: SharedBatchNorm1d,
        nn.BatchNorm2d: SharedBatchNorm2d,
        nn.BatchNorm3d: SharedBatchNorm3d,
    },
}
Model = TypeVar("Model", bound=nn.Module)


def convert_batchnorm(model: Model, kind: str = "dar", noise_grad: str | None = None) -> Model:
    """Convert every batch-norm layer of a network, in place, to a kind that may treat noise rows separately.

    Parameters, buffers, hooks and training mode stay the same, as does the behavior of subclasses (timm's
    ``BatchNormAct2d`` keeps its activation). A converted network may be converted to another kind.

    Args:
        model: any network, or a single layer.
        kind: ``"dar"`` for DAR-BN, ``"aux"`` for auxiliary batch norm, ``"standard"`` for batch norm that treats noise
            rows like any other.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``, see
            :func:`~oponm.nn.routed_batch_norm`. The default (None) is ``"none"`` for DAR-BN, and ``"full"`` for the
            other two kinds. With ``kind="standard"``, ``"full"`` keeps torch's layers, while ``"none"`` and ``"input"``
            make them :class:`~oponm.nn.shared.SharedBatchNorm2d`.

    Returns:
        ``model`` itself.

    Raises:
        InputError: for an unknown value, a network without batch norm, or a layer that cannot be converted
            (synchronized or not yet initialized).

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> type(convert_batchnorm(model)[1]).__name__
        'DARBatchNorm2d'
    """
    check_choice("kind", kind, tuple(USUAL_NOISE_GRAD))
    noise_grad = check_choice("noise_grad", USUAL_NOISE_GRAD[kind] if noise_grad is None else noise_grad, NOISE_GRADS)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)}
    if kind == "standard" and noise_grad == "full":
        return revert_batchnorm(model)
    for name, layer in layers.items():
        if isinstance(layer, (nn.SyncBatchNorm, LazyModuleMixin)):
            state = "synchronized" if isinstance(layer, nn.SyncBatchNorm) else "not yet initialized"
            raise InputError(f"layer {name!r} is {state} ({type(layer).__name__}): convert a plain, initialized layer")
    if not layers:
        raise InputError(
            f"{kind} needs batch norm, and {type(model).__name__} has no batch-norm layer: "
            "choose norm=standard, or another network",
            "kind",
        )
    revert_batchnorm(model)
    for layer in layers.values():
        plain: Any = type(layer)
        layer.__class__ = routed_class(_ROUTING[kind], plain)
        layer.set_up_routing(noise_grad)  # type: ignore[operator]
    return model


def revert_batchnorm(model: Model) -> Model:
    """Convert every routed layer back to a plain batch norm of its original class, in place; predictions stay the same.

    Args:
        model: any network; one without routed layers is left as it is.

    Returns:
        ``model`` itself.

    Example:
        >>> type(revert_batchnorm(DARBatchNorm2d(8))).__name__
        'BatchNorm2d'
    """
    for layer in model.modules():
        if isinstance(layer, RoutedBatchNorm):
            layer.tear_down_routing()
            layer.__class__ = _plain_class(type(layer))
    return model


def _plain_class(routed: type) -> type:
    return next(cls for cls in routed.__mro__ if issubclass(cls, _BatchNorm) and not issubclass(cls, RoutedBatchNorm))


@cache
def routed_class(routing: Any, plain: Any) -> Any:
    """The routed subclass of a batch-norm class; it is made on first use if this package does not define it.

    Args:
        routing: a subclass of :class:`~oponm.nn.dar.RoutedBatchNorm`.
        plain: a class of batch norm.

    Example:
        >>> routed_class(RoutedBatchNorm, nn.BatchNorm2d).__name__
        'DARBatchNorm2d'
    """
    if plain in _NAMED.get(routing, {}):
        return _NAMED[routing][plain]

    def reduce(self: Any) -> tuple[Any, ...]:
        return _rebuild, (routing, plain), self.__dict__

    return type(f"{routing.prefix}{plain.__name__}", (routing, plain), {"__reduce__": reduce, "__doc__": plain.__doc__})


def _rebuild(routing: Any, plain: Any) -> Any:
    """Unpickle an instance of a class that :func:`routed_class` made."""
    cls = routed_class(routing, plain)
    return cls.__new__(cls)
