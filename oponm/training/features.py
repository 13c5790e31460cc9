"""Features of the rows of a batch, for losses that need them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.losses.precision import at_least_float32
from oponm.models.classifier import find_classifier

RowLoss = Callable[[Tensor, Tensor], Tensor]


def logits_and_loss(
    forward: Callable[[], Tensor], loss: nn.Module, model: nn.Module, num_classes: int
) -> tuple[Tensor, RowLoss]:
    """Compute the logits of a batch; if the loss needs the features, bind the norms of the classifier's input to it.

    A forward hook records the input of the classifier while ``forward`` runs.

    Args:
        forward: computes the logits, (N, K), by one or more passes, each over a part of the rows.
        loss: the loss. If it has ``takes_features``, as in :mod:`oponm.losses`, it gets the L1 norms of the features.
        model: the network.
        num_classes: K, by which the classifier is found in the network.

    Returns:
        The logits, and (logits (N, K), targets (N,)) -> losses (N,).

    Raises:
        InputError: if the loss needs features, and no single layer gives the logits, or that layer was not called.

    Example:
        >>> from oponm.losses import InfluenceBalanced
        >>> model, images = nn.Linear(4, 2), torch.tensor([[1.0, -1, 0, 2], [0, 0, 1, 0]])
        >>> logits, loss = logits_and_loss(lambda: model(images), InfluenceBalanced([3, 1]), model, num_classes=2)
        >>> loss.keywords["feature_norms"]
        tensor([4., 1.])
    """
    if not getattr(loss, "takes_features", False):
        return forward(), loss
    norms: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norms.append(at_least_float32(inputs[0]).flatten(1).abs().sum(1))

    hook = find_classifier(model, num_classes)[1].register_forward_pre_hook(note)
    try:
        logits = forward()
    finally:
        hook.remove()
    if not norms:
        raise InputError("needs the features, and the network computes logits without calling its classifier", "loss")
    return logits, partial(loss, feature_norms=torch.cat(norms))
