"""A sheet of the network's input: class counts, augmented images and noise images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from oponm.data import LongTailDataModule
from oponm.data.samplers import IndexBatch
from oponm.noise import AddNoise
from oponm.rng import derive_generator, derived_randomness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES, AUGMENTED, NOISE = 10, 5, 2


def data_sheet(data: LongTailDataModule, path: Path) -> None:
    """Write :func:`sheet_figure` to a file.

    Args:
        data: the data module, set up.
        path: the file, in a format that matplotlib can write.

    Example:
        >>> import tempfile
        >>> from oponm.data import DigitsLT
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> data.setup()
        >>> sheet = Path(tempfile.mkdtemp(), "sheet.png")
        >>> data_sheet(data, sheet)
        >>> sheet.stat().st_size > 1000
        True
    """
    sheet_figure(data).savefig(path)


def sheet_figure(data: LongTailDataModule) -> Figure:
    """Draw class counts, and for classes from head to tail a stored image, augmented ones and noise.

    Args:
        data: the data module, set up.
    """
    from matplotlib.figure import Figure

    counts = np.array(data.class_counts)
    order = np.argsort(-counts, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(CLASSES, len(order))).round().astype(int)]
    columns = 1 + AUGMENTED + NOISE
    figure = Figure(figsize=(columns * 0.95, 2.4 + 0.95 * len(shown)), dpi=110, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[2.2, 0.95 * len(shown)])
    top, bottom = parts
    bars = top.add_subplot()
    bars.bar(np.arange(len(counts)), counts[order], color="0.6", width=0.9)
    bars.set(yscale="log", ylabel="training images", xlabel="classes, most to fewest")
    bars.spines[["top", "right"]].set_visible(False)
    axes = bottom.subplots(len(shown), columns, squeeze=False)
    for row, label in zip(axes, shown.tolist(), strict=True):
        for axis, image in zip(row, _images(data, label), strict=True):
            axis.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{data.class_names[label][:14]}\n{counts[label]}", parse_math=False, rotation=0, ha="right")
    axes[0][0].set_title("stored", fontsize=9)
    axes[0][1 + AUGMENTED // 2].set_title("augmented", fontsize=9)
    axes[0][1 + AUGMENTED].set_title("noise", fontsize=9)
    return figure


def _images(data: LongTailDataModule, label: int) -> Tensor:
    """An image of a class, augmented ones and noise for the class, (1 + AUGMENTED + NOISE, C, H, W) in [0, 1]."""
    members = (data.train_set.targets == label).nonzero().flatten()
    chosen = members[torch.arange(AUGMENTED) % len(members)]
    stored = data.train_set.__getitems__(IndexBatch(chosen, epoch=0, step=0)).images.float() / 255
    with torch.no_grad(), derived_randomness(data.seed, "sheet", step=label):
        augmented = data.pipeline.augmentation(stored)
    targets = torch.full((NOISE,), label)
    draw: Any = data.pipeline.noise_transform
    noise = draw.noise(targets, stored.shape[1:], derive_generator(data.seed, "sheet", step=label))
    if isinstance(draw, AddNoise):
        noise = stored[:1] + noise
    return torch.cat([stored[:1], augmented, noise]).clamp(0, 1)
