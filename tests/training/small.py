"""A run of seconds for tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from oponm.data import DigitsLT
from oponm.data.augmentation import flip_crop
from oponm.models import SmallCNN
from oponm.nn import convert_batchnorm
from oponm.rng import derived_randomness
from oponm.training import LongTailModule, Phase, PhasePlan, train

OPEN = [Phase(1), Phase(1, "class_balanced", noise=True)]


def make_module(data: DigitsLT, seed: int = 0, noise_grad: str = "none") -> LongTailModule:
    with derived_randomness(seed, "model"):
        model = torch.nn.Sequential(
            SmallCNN(64, in_channels=1, width=4), torch.nn.Dropout(0.2), torch.nn.Linear(64, 10)
        )
    convert_batchnorm(model, noise_grad=noise_grad)
    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    return LongTailModule(model, class_counts=data.class_counts, optimizer=optimizer, seed=seed)


def make_data(seed: int = 0, **options: Any) -> DigitsLT:
    settings = {"imbalance_ratio": 50, "augmentation": partial(flip_crop, padding=1), **options}
    data = DigitsLT(seed=seed, **settings)
    data.setup()
    return data


def run(folder: Path, phases: list[Phase] = OPEN, epochs: int = 2, seed: int = 0, **options: Any):
    data = make_data(seed)
    module = make_module(data, seed)
    result = train(module, data, PhasePlan(phases, epochs), folder, accelerator="cpu", **options)
    return module, result
