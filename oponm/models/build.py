"""Makes the network that a run starts with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike

from torch import nn

from oponm.errors import InputError, check_path
from oponm.models.classifier import with_head
from oponm.models.logits import settle_classifier
from oponm.models.weights import load_initial_weights

HEAD_KEYS = ("head", "weights", "classifier")  # arguments of make_network that config files have under model


def make_network(
    make: Callable[..., nn.Module],
    num_classes: int,
    in_channels: int,
    head: str = "linear",
    weights: str | PathLike[str] | None = None,
    classifier: str | None = None,
    image_size: Sequence[int] | None = None,
) -> nn.Module:
    """Make a network, find or replace its classifier, and load its initial weights, in this order.

    Args:
        make: factory, called with ``num_classes`` and ``in_channels`` by name. The network maps images
            (N, in_channels, H, W) to logits (N, num_classes). Random weights come from the global generator.
        num_classes: number of classes, the network's outputs.
        in_channels: color channels of the images.
        head: ``"linear"`` or ``"cosine"``, see :func:`~oponm.models.with_head`.
        weights: a file of weights or a run's folder, see :func:`~oponm.models.load_initial_weights`; None keeps the
            random weights.
        classifier: the name of the layer that gives the logits; None searches for the layer, see
            :func:`~oponm.models.settle_classifier`.
        image_size: (H, W) of the images of a forward pass that finds or checks the layer. Without it (None) the layer
            is guessed from the order of layers.

    Raises:
        InputError: as in ``with_head``, ``load_initial_weights`` and ``settle_classifier``; and if ``make`` cannot be
            called this way, or makes no network.

    Example:
        >>> from oponm.models import SmallCNN
        >>> make_network(SmallCNN, num_classes=10, in_channels=1, head="cosine").fc
        CosineClassifier(in_features=64, out_features=10, scale=30)
    """
    _check_call(make, num_classes=num_classes, in_channels=in_channels)
    model = make(num_classes=num_classes, in_channels=in_channels)
    if not isinstance(model, nn.Module):
        raise InputError(f"must make a network (torch.nn.Module), and made a {type(model).__name__}", "_target_")
    if image_size is not None:
        settle_classifier(model, num_classes, (in_channels, *image_size), classifier)
    elif classifier is not None:
        raise InputError("needs image_size: a forward pass on images of this size checks the layer", "classifier")
    model = with_head(model, head, num_classes=num_classes)
    if weights is not None:
        load_initial_weights(model, check_path("weights", weights), num_classes)
    return model


def _check_call(make: Callable[..., nn.Module], **given: int) -> None:
    """Refuse settings that a network does not have, to distinguish them from an error inside it."""
    function, args, settings = (make.func, make.args, make.keywords) if isinstance(make, partial) else (make, (), {})
    try:
        inspect.signature(function).bind(*args, **{**settings, **given})
    except TypeError as error:
        name = getattr(function, "__name__", repr(function))
        raise InputError(
            f"cannot be made by {name} ({error}): its arguments are the keys below model, num_classes and in_channels",
            "model",
        ) from error
