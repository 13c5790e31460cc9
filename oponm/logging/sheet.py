"""A sheet of the network's input: class counts, augmented images and noise images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from oponm.data import LongTailDataModule
from oponm.data.samplers import IndexBatch
from oponm.logging.class_labels import class_labels
from oponm.longtail import head_to_tail
from oponm.noise import AddNoise
from oponm.rng import derive_generator, derived_randomness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES, AUGMENTED, NOISE = 10, 5, 2
NAMED = 40  # classes that are all named
LINEAR = 10  # imbalance ratio up to which bars are linear
CELL, LETTER = 0.95, 0.08  # width of an image and of a letter, in inches


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
    order = np.array(head_to_tail(data.class_counts))
    shown = order[np.linspace(0, len(order) - 1, min(CLASSES, len(order))).round().astype(int)]
    named = order if len(order) <= NAMED else shown
    texts, fonts = class_labels([data.class_names[label] for label in named])
    names = dict(zip(named.tolist(), texts, strict=True))
    longest = max(len(line) for text in texts for line in text.split("\n")) * LETTER
    most_lines = 1 + max(text.count("\n") for text in texts)
    _, height, width = data.image_shape
    cell = CELL * min(max(height / width, 0.4), 2.5)
    columns = 1 + AUGMENTED + NOISE
    breadth = max(columns * CELL + 0.35 + longest, 1 + 0.15 * len(named) * most_lines)
    upright = len(named) < len(order) or longest > 0.8 * (breadth - 1) / len(order)
    heights = [2.2 + (longest if upright else 0), 0.35 + cell * len(shown)]
    figure = Figure(figsize=(breadth, sum(heights)), dpi=110, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    top, bottom = parts
    bars, places = top.add_subplot(), {label: place for place, label in enumerate(order.tolist())}
    _draw_counts(bars, counts[order], {places[label]: text for label, text in names.items()}, fonts, upright)
    axes = bottom.subplots(len(shown), columns, squeeze=False)
    for row, label in zip(axes, shown.tolist(), strict=True):
        for axis, image in zip(row, _images(data, label), strict=True):
            axis.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        text = f"{names[label]}\n{counts[label]:,}"
        row[0].set_ylabel(text, parse_math=False, rotation=0, ha="right", va="center", fontsize=9, fontfamily=fonts)
    axes[0][0].set_title("stored", fontsize=9)
    axes[0][1 + AUGMENTED // 2].set_title("augmented", fontsize=9)
    axes[0][1 + AUGMENTED].set_title("noise", fontsize=9)
    return figure


def _draw_counts(axes: Axes, counts: np.ndarray, names: dict[int, str], fonts: list[str], upright: bool) -> None:
    """Bars from zero; of a longer tail on a logarithmic axis, from where a single image still has a bar."""
    axes.bar(np.arange(len(counts)), counts, color="0.6", width=0.9)
    if counts.max() > LINEAR * counts.min():
        axes.set_yscale("log")
        axes.set_ylim(bottom=1 if counts.min() > 1 else 0.5)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(ylabel="training images", xlim=(-0.6, len(counts) - 0.4))
    axes.set_xticks(
        [*names], [*names.values()], rotation=90 if upright else 0, parse_math=False, fontsize=8, fontfamily=fonts
    )
    if len(names) < len(counts):
        axes.set_xlabel(f"{len(names)} of {len(counts):,} classes are named")
    axes.spines[["top", "right"]].set_visible(False)


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
