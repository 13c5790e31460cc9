"""Batch norm with statistics over all processes, for all kinds of this package and for torch's batch norm."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from oponm.errors import InputError
from oponm.nn.convert import revert_batchnorm, routed_class
from oponm.nn.dar import RoutedBatchNorm

Model = TypeVar("Model", bound=nn.Module)


class SynchronizedBatchNorm(RoutedBatchNorm):
    """Adds the synchronization to a class of torch's batch norm, which treats noise rows like any other."""

    prefix = "Synchronized"
    separates_noise = False


def synchronize_batchnorm(model: Model) -> Model:
    """Let every batch norm of a network standardize by the rows of all processes, in place.

    Each layer keeps its kind: DAR-BN and auxiliary batch norm still separate natural and noise rows. Each group's
    statistics are reduced over the processes of ``torch.distributed``'s default group, in the forward and in the
    backward pass. Every process must call the layer, even if it has no row of a group. With one process, and in
    evaluation mode, nothing changes; nor does the state dict. Unlike ``nn.SyncBatchNorm``, which would remove the
    routing, it runs on any device.

    Call :func:`~oponm.nn.convert_batchnorm` before this function; calling it afterwards removes the synchronization.

    Args:
        model: any network.

    Returns:
        ``model`` itself.

    Raises:
        InputError: for a layer that is an ``nn.SyncBatchNorm`` already, or not yet initialized.

    Example:
        >>> layer = synchronize_batchnorm(nn.BatchNorm2d(3))
        >>> type(layer).__name__, type(desynchronize_batchnorm(layer)).__name__
        ('SynchronizedBatchNorm2d', 'BatchNorm2d')
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    for layer in layers:
        if isinstance(layer, (nn.SyncBatchNorm, LazyModuleMixin)):
            raise InputError(f"cannot synchronize a {type(layer).__name__}: give a plain, initialized layer")
    for layer in layers:
        if not isinstance(layer, RoutedBatchNorm):
            plain: Any = type(layer)
            layer.__class__ = routed_class(SynchronizedBatchNorm, plain)
            layer.set_up_routing("full")  # type: ignore[operator]
        layer.synchronized = True  # type: ignore[assignment]
    return model


def desynchronize_batchnorm(model: Model) -> Model:
    """Undo :func:`synchronize_batchnorm`, in place: each process has its own statistics again.

    Args:
        model: any network.

    Returns:
        ``model`` itself.
    """
    for layer in model.modules():
        if isinstance(layer, SynchronizedBatchNorm):
            revert_batchnorm(layer)
        elif isinstance(layer, RoutedBatchNorm):
            layer.synchronized = False
    return model
