"""Networks of every kind that has to be known how to handle, small, with 7 classes and 3 color channels."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
import torchvision
from torch import Tensor, nn

from oponm.models import ResNetCifar, SmallCNN, WideResNet
from oponm.nn import convert_batchnorm


class ProjectionBehind(nn.Module):
    """A network of one's own whose last linear layer is not its classifier."""

    def __init__(self, num_classes: int = 7, in_channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.output = nn.Linear(6, num_classes)
        self.projection = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.body(images).mean((2, 3)))


class WithOthersOfThatSize(nn.Module):
    """Layers of as many outputs as there are classes before and after the classifier, the last one in use or not."""

    def __init__(self, num_classes: int = 7, in_channels: int = 3, auxiliary: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, num_classes, 3)
        self.first = nn.Linear(num_classes, num_classes)
        self.output = nn.Linear(num_classes, num_classes)
        self.second_head = nn.Linear(num_classes, num_classes)
        self.auxiliary = auxiliary

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features = self.first(self.stem(images).mean((2, 3))).relu()
        logits = self.output(features)
        return (logits, self.second_head(features)) if self.auxiliary and self.training else logits


class HeadOfTwoLayers(nn.Module):
    """A classifier that is more than a layer."""

    def __init__(self, num_classes: int = 7, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, num_classes, 3)
        self.head = nn.Sequential(nn.Linear(num_classes, 5), nn.ReLU(), nn.Linear(5, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stem(images).mean((2, 3)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "small": (lambda: SmallCNN(7, width=4), "fc"),
    "resnet": (lambda: ResNetCifar(8, 7), "fc"),
    "wrn": (lambda: WideResNet(10, 1, 7), "fc"),
    "sequential": (lambda: nn.Sequential(SmallCNN(12, width=4), nn.ReLU(), nn.Linear(12, 7)), "2"),
    "timm resnet18": (lambda: timm.create_model("resnet18", num_classes=7), "fc"),
    "timm convnext": (lambda: timm.create_model("convnext_atto", num_classes=7), "head.fc"),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=7), "fc"),
    "torchvision mobilenet": (lambda: torchvision.models.mobilenet_v3_small(num_classes=7), "classifier.3"),
    "own": (ProjectionBehind, "output"),
}


def make(name: str, kind: str = "standard") -> nn.Module:
    model = NETWORKS[name][0]()
    return model if name == "timm convnext" else convert_batchnorm(model, kind)


def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def predict(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(images())
