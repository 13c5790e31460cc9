"""DAR-BN as its publication prints it, as a module, and the plain training loop around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from benchmarks.augmentation import torchvision_recipe
from benchmarks.dar_bn import gathered_batch_norm

_masks: list[Tensor] = []  # that of the batch under way


class GatheredBatchNorm(nn.Module):
    """Splits its input by the mask of the batch, normalizes each part, and scatters both back.

    Args:
        layer: the batch norm that it stands for.
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return gathered_batch_norm(self.layer, x, _masks[-1], "none") if _masks else self.layer(x)


def gather_in(model: nn.Module) -> nn.Module:
    """Put :class:`GatheredBatchNorm` in place of each batch norm, in place."""
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(model, name, GatheredBatchNorm(child))
        else:
            gather_in(child)
    return model


@contextmanager
def mask(is_noise: Tensor) -> Iterator[None]:
    """Mark the rows that are noise, for the layers."""
    _masks.append(is_noise)
    try:
        yield
    finally:
        _masks.pop()


class SampleWise(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets hold them, augmented one by one.

    Args:
        arrays: (N, H, W, 3), uint8.
        labels: of each.
    """

    def __init__(self, arrays: npt.NDArray, labels: list[int]) -> None:
        self.arrays, self.labels = arrays, labels
        self.transform: Callable[[Image.Image], Tensor] = torchvision_recipe()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def plain_loader(images: Tensor, labels: Tensor, batch_size: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Class-balanced batches of images augmented in worker processes.

    Args:
        images: (N, 3, H, W), uint8.
        labels: (N,), int64.
        batch_size: images a batch.
        workers: processes.
    """
    weights = 1.0 / torch.bincount(labels)[labels]
    sampler = WeightedRandomSampler(weights.tolist(), len(labels))
    data = SampleWise(images.permute(0, 2, 3, 1).contiguous().numpy(), labels.tolist())
    return DataLoader(data, batch_size, sampler=sampler, num_workers=workers)  # type: ignore[arg-type]
