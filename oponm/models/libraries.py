"""Makes the networks of timm and torchvision, by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from http.client import HTTPException
from typing import Any

from torch import nn

from oponm.errors import InputError
from oponm.models.classifier import find_linear_classifier

_CLIENT = "huggingface_hub"
_AUXILIARY = ("googlenet", "inception_v3")  # in training they also return the logits of side branches


def timm_model(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    small_stem: bool = False,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """Make a network of timm.

    Args:
        name: a name in ``timm.list_models()``, optionally with a pretrained tag after a dot (``resnet50.a1_in1k``).
        num_classes: number of outputs.
        in_channels: color channels of the images.
        small_stem: whether to adapt a ResNet to small images, see :func:`use_small_stem`.
        pretrained: whether to start from timm's weights, downloaded unless they are in its cache. The classifier is new
            if ``num_classes`` is not that of the weights. With ``small_stem`` the first convolution is new, too.
        options: passed on to ``timm.create_model``, such as ``drop_path_rate`` or ``img_size``.

    Raises:
        InputError: for a name that timm does not know (with the closest known ones), options that the network does
            not take, weights that are not available, or a small stem for a network without one.

    Example:
        >>> import torch
        >>> timm_model("resnet18", num_classes=10, small_stem=True)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """
    import timm

    if not isinstance(name, str) or not timm.is_model(name):
        raise InputError(_unknown(name, "timm", timm.list_models()), "name")
    try:
        with _silent_client():
            model = timm.create_model(
                name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels, **options
            )
    except Exception as error:  # an error of timm, the network, the hub or its HTTP client
        if pretrained and not isinstance(error, TypeError):
            raise InputError(_no_weights(name, error), "pretrained") from error
        raise InputError(f"{name} cannot be made with these options ({_reason(error)})", "name") from error
    return use_small_stem(model) if small_stem else model


def torchvision_model(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    small_stem: bool = False,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """Make a classification network of torchvision.

    With other than 3 color channels the first convolution is replaced: by He initialization, or for ``pretrained`` by
    the published weights, summed or repeated over the channels as timm does. GoogLeNet and Inception are made without
    their side branches.

    Args:
        name: a name in ``torchvision.models.list_models(torchvision.models)``.
        num_classes: number of outputs.
        in_channels: color channels of the images.
        small_stem: whether to adapt a ResNet to small images, see :func:`use_small_stem`.
        pretrained: whether to start from torchvision's default weights, downloaded unless they are in its cache. The
            classifier is new. With ``small_stem`` the first convolution is new, too.
        options: passed on to the network, such as ``dropout`` or ``image_size``.

    Raises:
        InputError: for a name that torchvision does not know (with the closest known ones), options that the network
            does not take, weights that are not available, or a small stem for a network without one.

    Example:
        >>> import torch
        >>> torchvision_model("resnet18", num_classes=10, in_channels=1)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 10])
    """
    from timm.models import adapt_input_conv
    from torchvision import models

    if name not in (known := models.list_models(models)):
        raise InputError(_unknown(name, "torchvision", known), "name")
    if name in _AUXILIARY and not pretrained:
        options = {"init_weights": True, **options, "aux_logits": False}
    elif name in _AUXILIARY:
        options = {**options, "transform_input": False}  # they would undo a normalization by ImageNet's statistics
    options |= {"weights": "DEFAULT"} if pretrained else {"num_classes": num_classes}
    try:
        model = models.get_model(name, **options)
    except (OSError, HTTPException) as error:
        raise InputError(_no_weights(name, error), "pretrained") from error
    except Exception as error:  # an error of torchvision or the network
        raise InputError(f"{name} cannot be made with these options ({_reason(error)})", "name") from error
    if pretrained:
        _drop_side_branches(model)
        path, head = find_linear_classifier(model, num_classes=None)
        model.set_submodule(path, nn.Linear(head.in_features, num_classes))
    if in_channels != 3:
        first, old = next((path, layer) for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
        new = _like(old, in_channels, bias=old.bias is not None)
        if pretrained:
            new.load_state_dict(old.state_dict() | {"weight": adapt_input_conv(in_channels, old.weight.detach())})
        model.set_submodule(first, new)
    return use_small_stem(model) if small_stem else model


def use_small_stem(model: nn.Module) -> nn.Module:
    """Fit a ResNet for ImageNet to small images: a 3x3 first convolution of stride 1, and no pooling after it.

    This is the usual change for 32x32 images, which would otherwise reach the first stage as 8x8. A stem of several
    3x3 convolutions ("deep", timm's ``resnet50d``) keeps its layers, with stride 1.

    Args:
        model: timm's or torchvision's ``ResNet`` (ResNeXt, SE-ResNet, Wide ResNet and the like are of that class);
            changed in place.

    Returns:
        ``model``.

    Raises:
        InputError: for any other network.

    Example:
        >>> from torchvision.models import resnet18
        >>> use_small_stem(resnet18()).conv1
        Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    import timm.models.resnet
    import torchvision.models.resnet

    if not isinstance(model, (timm.models.resnet.ResNet, torchvision.models.resnet.ResNet)):
        raise InputError(
            f"is for ResNets (resnet18, resnext50_32x4d, seresnet50, ... of timm or torchvision), and this is a "
            f"{type(model).__name__}: set it to false",
            "small_stem",
        )
    if isinstance(model.conv1, nn.Sequential):
        model.conv1[0].stride = (1, 1)  # type: ignore[assignment]
    else:
        model.conv1 = _like(model.conv1, model.conv1.in_channels, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


@contextmanager
def _silent_client() -> Iterator[None]:
    """Silence the hub's client about each attempt at a download; the caller reports the last error."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith(_CLIENT)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _like(old: nn.Conv2d, in_channels: int, **changes: Any) -> nn.Conv2d:
    same = {name: getattr(old, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    new = nn.Conv2d(in_channels, old.out_channels, **{**same, **changes})
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new.to(old.weight.device, old.weight.dtype)


def _drop_side_branches(model: nn.Module) -> None:
    """Remove the side branches that pretrained GoogLeNet and Inception have in training."""
    for branch in ("aux1", "aux2", "AuxLogits"):
        if hasattr(model, branch):
            setattr(model, branch, None)
            model.aux_logits = False  # type: ignore[assignment]


def _no_weights(name: str, error: Exception) -> str:
    remedy = "without a connection, set model.pretrained=false and model.weights=FILE of theirs"
    return f"weights of {name} cannot be had ({_reason(error)}); {remedy}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _unknown(name: object, library: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=3)
    remedy = f"close to it: {', '.join(close)}" if close else f"{library}.list_models() lists them"
    return f"is no network of {library}, got {name!r}; {remedy}"
