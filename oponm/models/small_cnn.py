"""A small network for the embedded digits, and for a first try on anything."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_int


class SmallCNN(nn.Module):
    """Three 3x3 convolutions with batch norm, halving the map twice, then average pooling and a linear layer.

    Takes images of any size from 4x4 on; trains on 8x8 digits in seconds.

    Args:
        num_classes: outputs.
        in_channels: color channels of the images.
        width: channels of the first convolution; the others have twice and four times as many.

    Example:
        >>> import torch
        >>> SmallCNN(in_channels=1)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 16) -> None:
        super().__init__()
        check_int("width", width, minimum=1)
        channels = [in_channels, width, 2 * width, 4 * width]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=False) for before, after in pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for after in channels[1:])
        self.fc = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = images
        for stage, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x if stage == 0 else F.max_pool2d(x, 2))))
        return self.fc(x.mean((2, 3)))
