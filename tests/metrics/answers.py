"""Answers of imagined classifiers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def answers(num_classes: int, rows: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than not, and long-tailed targets in which every class occurs."""
    rng = np.random.default_rng(seed)
    tail = (num_classes * rng.random(rows - num_classes) ** 2).astype(np.int64)
    targets = rng.permutation(np.concatenate([np.arange(num_classes), tail]))
    logits = rng.normal(size=(rows, num_classes))
    logits[np.arange(rows), targets] += 1.5
    return torch.from_numpy(logits), torch.from_numpy(targets)


def logits_of(predicted: list[int], num_classes: int, scale: float = 9.0) -> Tensor:
    """Logits of a classifier that is sure of itself."""
    return scale * torch.eye(num_classes)[predicted]


def confusion_of(targets: list[int], predicted: list[int], num_classes: int) -> Tensor:
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for target, prediction in zip(targets, predicted, strict=True):
        confusion[target, prediction] += 1
    return confusion
