"""Makes the network that a checkpoint names, without importing code by that name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from oponm import models
from oponm.errors import InputError

_KNOWN: dict[str, Callable[..., nn.Module]] = {
    f"oponm.models.{make.__name__}": make
    for make in (
        models.ResNetCifar,
        models.SmallCNN,
        models.WideResNet,
        models.resnet20,
        models.resnet32,
        models.resnet44,
        models.resnet56,
        models.timm_model,
        models.torchvision_model,
    )
}
# Settings of initial weights are ignored, as the checkpoint replaces them: a file must not choose other files to read.
_INITIAL = {"weights", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
_APART = {"_target_", "head", "classifier", *_INITIAL}


def known_factory(settings: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """The factory of a model config's network, for the networks of this package.

    Args:
        settings: ``_target_``, the name of a network of :mod:`oponm.models`, and its options; ``head`` and options of
            initial weights are ignored.

    Returns:
        A factory, called with ``num_classes`` and ``in_channels``.

    Raises:
        InputError: for another ``_target_``.

    Example:
        >>> make = known_factory({"_target_": "oponm.models.SmallCNN", "width": 4, "weights": None, "head": "linear"})
        >>> type(make(num_classes=3, in_channels=1)).__name__
        'SmallCNN'
        >>> known_factory({"_target_": "os.system", "command": "ls"})
        Traceback (most recent call last):
        oponm.errors.InputError: checkpoint names the network os.system, which is not part of oponm: if you trust ...
    """
    target = settings.get("_target_")
    if not isinstance(target, str) or target not in _KNOWN:
        raise InputError(
            f"names the network {target}, which is not part of oponm: if you trust the file, set trust=true to import "
            "it",
            "checkpoint",
        )
    return partial(_KNOWN[target], **network_options(settings))


def network_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the network itself, without those about its classifier and its initial weights.

    Example:
        >>> network_options({"_target_": "oponm.models.timm_model", "name": "resnet18", "pretrained": True})
        {'name': 'resnet18'}
    """
    return {str(name): value for name, value in settings.items() if name not in _APART}
