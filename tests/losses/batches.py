"""The batches that losses are tested on."""

from __future__ import annotations

import torch
from torch import Tensor

from oponm.losses import (
    CDT,
    GCL,
    LADE,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    Equalization,
    Focal,
    InfluenceBalanced,
    LabelAwareSmoothing,
    LogitAdjustment,
    VectorScaling,
)
from oponm.rng import derived_randomness

COUNTS = [5000, 640, 83, 7, 1]


class UnitFeatures(InfluenceBalanced):
    """With features of norm 1."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().forward(logits, targets, torch.ones(len(logits), dtype=torch.float64, device=logits.device))


class SeededGCL(GCL):
    """With the same draws in every call."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        with derived_randomness(0, "test"):
            return super().forward(logits, targets)


class SeededEqualization(Equalization):
    """With the same draws in every call."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        with derived_randomness(0, "test"):
            return super().forward(logits, targets)


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
    (LabelAwareSmoothing, {}),
    (LabelAwareSmoothing, {"head": 0.4, "tail": 0.1, "form": "linear"}),
    (LabelAwareSmoothing, {"form": "convex"}),
    (LabelAwareSmoothing, {"tail": 0.05, "form": "exponential", "power": 0.5}),
    (VectorScaling, {}),
    (VectorScaling, {"gamma": 0.05, "tau": 0.0}),
    (CDT, {}),
    (CDT, {"gamma": 0.4}),
    (UnitFeatures, {}),
    (UnitFeatures, {"alpha": 2.0, "epsilon": 0.1}),
]
DRAWN_OR_JOINT = [  # a row's loss depends on draws of its own, or on the other rows
    (SeededGCL, {}),
    (SeededGCL, {"amplitude": 0.3, "margin": 0.1, "scale": 20.0}),
    (SeededEqualization, {}),
    (LADE, {}),
    (LADE, {"alpha": 0.5, "regularization": 0.1}),
]


def batch_of(
    rows: int = 32, spread: float = 3.0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(rows, len(COUNTS), generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(len(COUNTS), (rows,), generator=generator)
