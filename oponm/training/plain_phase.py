"""Converts checkpoints between networks with auxiliary and with standard batch norm, for phases without noise.

In these phases both networks train alike, so they share cached phases. Until the first phase with noise, auxiliary
parameters and buffers keep their initial values, and the optimizer has no state for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from oponm.nn.aux import AuxRoutedBatchNorm


def auxiliary_names(model: nn.Module) -> set[str]:
    """Return the names in a network's state dict that belong to auxiliary batch norm.

    Args:
        model: any network.

    Example:
        >>> from oponm.nn import convert_batchnorm
        >>> sorted(auxiliary_names(convert_batchnorm(nn.Sequential(nn.BatchNorm1d(2)), "aux")))[:2]
        ['0.aux_bias', '0.aux_num_batches_tracked']
    """
    every = model.named_modules(remove_duplicate=False)
    layers = [name for name, layer in every if isinstance(layer, AuxRoutedBatchNorm)]
    prefixes = tuple(f"{name}.aux_" if name else "aux_" for name in layers)
    return {name for name in model.state_dict() if name.startswith(prefixes)} if layers else set()


def without_auxiliary(checkpoint: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Convert the checkpoint of a network with auxiliary batch norm into one of the network with standard batch norm.

    Args:
        checkpoint: Lightning's checkpoint, written before the first phase with noise.
        model: the network with auxiliary batch norm; for any other network the checkpoint is returned unchanged.
    """
    names = auxiliary_names(model)
    if not names:
        return dict(checkpoint)
    (optimizer,), (scheduler,) = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
    first = optimizer["param_groups"][0]
    optimizer = {**optimizer, "param_groups": [first]}  # the second group has no state yet
    changed = _with_weights(checkpoint, lambda weights: {n: each for n, each in weights.items() if n not in names})
    return {**changed, "optimizer_states": [optimizer], "lr_schedulers": [_of_groups(scheduler, 1)]}


def with_auxiliary(checkpoint: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Reverse :func:`without_auxiliary`: entries that the checkpoint lacks come from the network.

    Args:
        checkpoint: checkpoint of the network with standard batch norm.
        model: the network with auxiliary batch norm that starts from the checkpoint, not trained yet.
    """
    names = auxiliary_names(model)
    if not names:
        return dict(checkpoint)
    (optimizer,), (scheduler,) = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
    own = {name: tensor for name, tensor in model.state_dict().items() if name in names}
    first = optimizer["param_groups"][0]
    count = sum(name in names for name, parameter in model.named_parameters() if parameter.requires_grad)
    second = {**first, "params": [len(first["params"]) + number for number in range(count)]}
    if first.get("fused"):
        second["fused"] = False
    optimizer = {**optimizer, "param_groups": [first, second]}
    changed = _with_weights(checkpoint, lambda weights: {**weights, **own})
    return {**changed, "optimizer_states": [optimizer], "lr_schedulers": [_of_groups(scheduler, 2)]}


def _with_weights(
    checkpoint: Mapping[str, Any], change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> dict[str, Any]:
    """Apply a function to the weights in a checkpoint, and return the changed checkpoint."""
    weights = {name.removeprefix("model."): tensor for name, tensor in checkpoint["state_dict"].items()}
    training, unfinished = checkpoint["training"], checkpoint["training"]["unfinished"]
    named = {f"model.{name}": tensor for name, tensor in change(weights).items()}
    unfinished = None if unfinished is None else change(unfinished)
    return {**checkpoint, "state_dict": named, "training": {**training, "unfinished": unfinished}}


def _of_groups(scheduler: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The state of a scheduler for ``count`` parameter groups, all with the learning rate of the first."""
    lists = ("base_lrs", "_last_lr", "lr_lambdas")
    return {name: value[:1] * count if name in lists else value for name, value in scheduler.items()}
