"""The batches that losses are tested on."""

from __future__ import annotations

import torch
from torch import Tensor

from oponm.losses import LDAM, BalancedSoftmax, CrossEntropy, Focal, LogitAdjustment

COUNTS = [5000, 640, 83, 7, 1]
LOSSES = [
    (CrossEntropy, {}),
    (CrossEntropy, {"label_smoothing": 0.1}),
    (Focal, {}),
    (Focal, {"gamma": 0.0}),
    (Focal, {"gamma": 0.3}),
    (LDAM, {}),
    (LDAM, {"max_margin": 0.2, "scale": 5.0}),
    (BalancedSoftmax, {}),
    (LogitAdjustment, {}),
    (LogitAdjustment, {"tau": 0.5}),
]


def batch_of(
    rows: int = 32, spread: float = 3.0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(rows, len(COUNTS), generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(len(COUNTS), (rows,), generator=generator)
