"""The ResNets for 32x32 images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import InputError, check_int


class _Block(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.new_channels:  # the parameter-free shortcut "A": subsample and pad the new channels with zeros
            before = self.new_channels // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))
        return F.relu(out + x)


class ResNetCifar(nn.Module):
    """ResNet of depth 6n + 2 with 16, 32 and 64 channels and parameter-free shortcuts.

    Args:
        depth: 20, 32, 44, 56, ... ; 6n + 2.
        num_classes: outputs.
        in_channels: color channels of the images.

    Raises:
        InputError: for a depth that is not 6n + 2.

    References:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Sec. 4.2.

    Example:
        >>> import torch
        >>> ResNetCifar(20)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        if (check_int("depth", depth, minimum=8) - 2) % 6:
            raise InputError(f"must be 6n + 2, got {depth}", "depth")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        self.fc = nn.Linear(64, num_classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = _Block(in_channels, channels, stride)
        return nn.Sequential(first, *(_Block(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNetCifar:
    """ResNet-20, published as 0.27 M parameters with 10 classes.

    Args:
        num_classes: outputs.
        in_channels: color channels of the images.

    Example:
        >>> sum(parameter.numel() for parameter in resnet20().parameters())
        269722
    """
    return ResNetCifar(20, num_classes, in_channels)


def resnet32(num_classes: int = 10, in_channels: int = 3) -> ResNetCifar:
    """ResNet-32, the small network of the long-tail literature: 464,154 parameters with 10 classes.

    Args:
        num_classes: outputs.
        in_channels: color channels of the images.

    Example:
        >>> sum(parameter.numel() for parameter in resnet32().parameters())
        464154
    """
    return ResNetCifar(32, num_classes, in_channels)


def resnet44(num_classes: int = 10, in_channels: int = 3) -> ResNetCifar:
    """ResNet-44, published as 0.66 M parameters with 10 classes.

    Args:
        num_classes: outputs.
        in_channels: color channels of the images.

    Example:
        >>> sum(parameter.numel() for parameter in resnet44().parameters())
        658586
    """
    return ResNetCifar(44, num_classes, in_channels)


def resnet56(num_classes: int = 10, in_channels: int = 3) -> ResNetCifar:
    """ResNet-56, published as 0.85 M parameters with 10 classes.

    Args:
        num_classes: outputs.
        in_channels: color channels of the images.

    Example:
        >>> sum(parameter.numel() for parameter in resnet56().parameters())
        853018
    """
    return ResNetCifar(56, num_classes, in_channels)
