"""Predictions of a network for pure noise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def noise_histogram(model: nn.Module, images: Iterable[Tensor], num_classes: int) -> list[int]:
    """Count how often each class is predicted for pure noise images.

    A network in evaluation mode standardizes noise by the running statistics of natural images, so the counts show what
    a deployed network would predict for noise.

    Args:
        model: maps images (N, C, H, W) to logits (N, K). It is run in evaluation mode; its modes are restored.
        images: batches of noise images, (N, C, H, W), normalized like the network's input, on its device.
        num_classes: number of classes K.

    Returns:
        Number of images predicted as each class, length K.

    References:
        Pure noise images: Zada, Benou, Irani, ICML 2022, Sec. 3.

    Example:
        >>> model = nn.Flatten()  # the brighter of two pixels
        >>> noise_histogram(model, [torch.tensor([[[[0.2, 0.7]]], [[[0.9, 0.1]]], [[[0.3, 0.4]]]])], num_classes=2)
        [1, 2]
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        predicted = torch.cat([model(batch).argmax(1) for batch in images])
    finally:
        for module, training in modes.items():
            module.training = training
    return torch.bincount(predicted, minlength=num_classes).tolist()
