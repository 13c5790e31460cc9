"""What a network says of pure noise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def noise_histogram(model: nn.Module, images: Iterable[Tensor], num_classes: int) -> list[int]:
    """How often each class is predicted for images that show nothing.

    A network in evaluation mode standardizes noise by the running statistics of natural images, so this is what it
    would answer if noise came its way in use.

    Args:
        model: (N, C, H, W) -> logits (N, K). Evaluated in evaluation mode, then put back into the modes it was in.
        images: batches of noise images, normalized as the network's input is, on its device.
        num_classes: number of classes K.

    Returns:
        Number of images predicted as each class, length K.

    References:
        The images are those of Zada, Benou, Irani, ICML 2022, Sec. 3.

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
