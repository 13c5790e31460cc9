"""Checkpoints as a run writes them, of networks that nobody trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from oponm.models import SmallCNN

NAMES = ["ants", "bees", "flies"]
MODEL = {"_target_": "oponm.models.SmallCNN", "width": 4, "weights": None, "head": "linear"}


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norm statistics that a wrong order or a missing normalization would show by."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_(0, 0.2, generator=generator)
            layer.running_var.uniform_(0.2, 2, generator=generator)
    return network.eval()


def checkpoint(network: nn.Module | None = None, channels: int = 3, size: int = 8, **changes: Any) -> dict[str, Any]:
    if network is None:
        torch.manual_seed(0)
        network = shaken(SmallCNN(len(NAMES), channels, width=4))
    split = {
        "class_names": NAMES,
        "split_digest": "1" * 64,
        "content_digest": "2" * 64,
        "class_counts": [100, 10, 2],
        "statistics": {"mean": [0.5, 0.4, 0.3][:channels], "std": [0.2, 0.3, 0.25][:channels]},
        "image_shape": [channels, size, size],
    }
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    return {"state_dict": weights, "split": split, "model_config": MODEL, "epoch": 3, **changes}


def save(folder: Path, content: Any | None = None, name: str = "last.ckpt") -> Path:
    torch.save(checkpoint() if content is None else content, folder / name)
    return folder / name


def photos(folder: Path, names: list[str] = NAMES, number: int = 4, size: tuple[int, int] = (12, 9)) -> Path:
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for position in range(number):
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{position}.png")
    return folder
