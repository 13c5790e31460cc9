"""A network that includes the preprocessing of its images, for export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.data.statistics import Statistics
from oponm.errors import check_choice

INPUTS = ("unit", "uint8", "normalised")


class DeployedNetwork(nn.Module):
    """Scales and normalizes images inside, so that no user of the network can do it wrong.

    ``network((x - mean) / std)``, with x = images / 255 for uint8, in the order of operations of
    :class:`~oponm.data.pipeline.DevicePipeline`.

    Args:
        network: (N, C, H, W), normalized -> logits (N, K).
        statistics: statistics of the training images.
        takes: ``"unit"`` for floats in [0, 1]; ``"uint8"`` for bytes; ``"normalised"`` for images normalized already.

    Raises:
        InputError: for an unknown ``takes``.

    Example:
        >>> half = Statistics((0.5,), (0.25,))
        >>> DeployedNetwork(nn.Flatten(), half, takes="uint8")(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8))
        tensor([[2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics, takes: str = "unit") -> None:
        super().__init__()
        self.network, self.takes = network, check_choice("input", takes, INPUTS)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).clamp(min=1e-6).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, K)."""
        images = images.float()  # floats stay as they are; torch.export refuses other types than the example's
        if self.takes == "uint8":
            images = images / 255
        if self.takes != "normalised":
            images = (images - self.mean) / self.std
        return self.network(images)
