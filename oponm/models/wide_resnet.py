"""Wide residual networks; WRN-28-10 is the main network of the OPeN paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import InputError, check_int, check_real


class _Block(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        same = in_channels == channels and stride == 1
        self.shortcut = None if same else nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out = self.conv1(activated)
        out = self.conv2(self.dropout(F.relu(self.bn2(out))))
        return out + (x if self.shortcut is None else self.shortcut(activated))


class WideResNet(nn.Module):
    """WRN-d-k: pre-activation residual network of depth 6n + 4 with 16k, 32k and 64k channels.

    Args:
        depth: d = 6n + 4, the number of layers.
        width: k, the factor of the numbers of channels.
        num_classes: number of outputs.
        in_channels: color channels of the images.
        dropout: dropout probability between the two convolutions of a block; the OPeN paper uses 0.3.

    Raises:
        InputError: for a depth that is not 6n + 4, a width below 1 or a probability outside [0, 1].

    References:
        Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016.

    Example:
        >>> sum(parameter.numel() for parameter in WideResNet(28, 10).parameters())
        36479194
    """

    def __init__(
        self, depth: int, width: int, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if (check_int("depth", depth, minimum=10) - 4) % 6:
            raise InputError(f"must be 6n + 4, got {depth}", "depth")
        check_int("width", width, minimum=1)
        check_real("dropout", dropout, 0, 1)
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        stages, channels = [], 16
        for out_channels, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            for block in range(blocks):
                stages.append(_Block(channels, out_channels, stride if block == 0 else 1, dropout))
                channels = out_channels
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = F.relu(self.bn(self.blocks(self.conv1(images))))
        return self.fc(x.mean((2, 3)))
