"""Draws plots of values per class, from head to tail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from oponm.longtail import head_to_tail

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_NAMES, MOST_NUMBERS = 30, 20
BLUE, GRAY = "#2b6cb0", "0.55"


def counts_figure(class_names: Sequence[str], class_counts: Sequence[int]) -> Figure:
    """Draw the curve of training images by class, on a logarithmic scale.

    Args:
        class_names: names by label.
        class_counts: training images by label.
    """
    order = head_to_tail(class_counts)
    counts = np.array(class_counts)[order]
    figure, axes = _axes(7, 3.6)
    places = np.arange(len(order))
    axes.fill_between(places, counts, 0.8, color=BLUE, alpha=0.12, lw=0)
    axes.plot(places, counts, color=BLUE, lw=1.6, marker="o" if len(order) <= MOST_NAMES else "", ms=4)
    axes.set(yscale="log", ylabel="training images", ylim=(0.8, counts[0] * 2))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    ends = ((0, "left"), (len(order) - 1, "right"))
    for place, side in ends:
        axes.annotate(f"{counts[place]:,}", (place, counts[place]), (0, 7), textcoords="offset points", ha=side)
    ratio = f"{counts[0] / counts[-1]:.3g}"
    axes.set_title(f"{counts.sum():,} images, imbalance ratio {ratio}", loc="left", fontsize=10)
    _name_classes(axes, [class_names[label] for label in order])
    return figure


def accuracy_figure(class_names: Sequence[str], class_counts: Sequence[int], recall: Sequence[float | None]) -> Figure:
    """Draw a bar for the accuracy of each class, with its number of training images.

    Args:
        class_names: names by label.
        class_counts: training images by label.
        recall: accuracy by label, in [0, 1]; None for a class without test images, which gets no bar.
    """
    order = head_to_tail(class_counts)
    percent = 100 * np.array([recall[label] for label in order], dtype=np.float64)  # None becomes NaN
    figure, axes = _axes(max(6, min(14, 0.55 * len(order) + 2)), 3.8)
    axes.bar(np.arange(len(order)), percent, color=BLUE, width=0.75)
    mean = float(np.nanmean(percent))
    axes.axhline(mean, color=GRAY, lw=1, ls="--")
    axes.set(ylim=(0, 108), ylabel="accuracy on the test set (%)", yticks=range(0, 101, 20))
    axes.set_title(f"mean over classes {mean:.1f} % (dashed)", loc="left", fontsize=10)
    if len(order) <= MOST_NUMBERS:
        for place, value in enumerate(percent):
            if value == value:
                axes.annotate(f"{value:.0f}", (place, value), (0, 2), textcoords="offset points", ha="center", size=8)
    names = [f"{class_names[label]}\n{class_counts[label]:,}" for label in order]
    _name_classes(axes, names if len(order) <= MOST_NUMBERS else [class_names[label] for label in order])
    axes.set_xlabel("class, most to fewest training images" + (" (below)" if len(order) <= MOST_NUMBERS else ""))
    return figure


def noise_figure(class_names: Sequence[str], class_counts: Sequence[int], histogram: Sequence[int]) -> Figure:
    """Draw a bar for each class: the percentage of pure noise images predicted as this class; a line marks 100 / K.

    Args:
        class_names: names by label.
        class_counts: training images by label.
        histogram: number of noise images by predicted label, see :func:`~oponm.metrics.noise_histogram`.
    """
    order = head_to_tail(class_counts)
    counts = np.array(histogram, dtype=np.float64)[order]
    percent = 100 * counts / max(counts.sum(), 1)
    figure, axes = _axes(max(6, min(14, 0.55 * len(order) + 2)), 3.8)
    axes.bar(np.arange(len(order)), percent, color=BLUE, width=0.75)
    axes.axhline(100 / len(order), color=GRAY, lw=1, ls="--")
    axes.set(ylim=(0, 1.1 * max(percent.max(), 100 / len(order))), ylabel="pure noise images (%)")
    axes.set_title(f"what {counts.sum():,.0f} pure noise images are taken for (dashed: all alike)", loc="left", size=10)
    _name_classes(axes, [class_names[label] for label in order])
    return figure


def confusion_figure(
    class_names: Sequence[str], class_counts: Sequence[int], matrix: Sequence[Sequence[int]]
) -> Figure:
    """Draw the confusion matrix in percent of each true class (row), head to tail.

    Args:
        class_names: names by label.
        class_counts: training images by label.
        matrix: row i, column j: images of class i that were predicted as class j.
    """
    order = head_to_tail(class_counts)
    table = np.array(matrix, dtype=float)[np.ix_(order, order)]
    sums = table.sum(1, keepdims=True)
    percent = 100 * np.divide(table, sums, out=np.zeros_like(table), where=sums > 0)
    width = max(4.8, min(8.5, 0.5 * len(order) + 2))
    figure, axes = _axes(width, 0.86 * width)
    picture = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    if len(order) <= MOST_NUMBERS:
        for row, column in zip(*np.nonzero(percent >= 0.5), strict=True):
            shade = "white" if percent[row, column] > 55 else "0.2"
            axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center", size=8, color=shade)
    names = [class_names[label] for label in order]
    _name_classes(axes, names)
    ticks = _ticks(len(names))
    axes.set_yticks(ticks, [names[tick][:20] for tick in ticks], parse_math=False)
    axes.set(xlabel="taken for", ylabel="true class, most to fewest training images")
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.6, label="images of the true class (%)")
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _ticks(number: int) -> list[int]:
    return list(range(number)) if number <= MOST_NAMES else list(range(0, number, -(-number // 12)))


def _name_classes(axes: Any, names: Sequence[str]) -> None:
    ticks = _ticks(len(names))
    shown = ["\n".join(line[:20] for line in names[tick].split("\n")) for tick in ticks]
    crowded = max(len(name.split("\n")[0]) for name in shown) > 5 and len(shown) > 4
    # Names are literal text: a dollar sign starts no formula.
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(ticks, shown, parse_math=False, **turned)
    axes.set_xlabel("class, most to fewest training images")


def pixels(figure: Figure) -> np.ndarray:
    """Draw a figure.

    Args:
        figure: a figure made without pyplot.

    Returns:
        (H, W, 3), uint8.

    Example:
        >>> from matplotlib.figure import Figure
        >>> pixels(Figure(figsize=(2, 1), dpi=100)).shape
        (100, 200, 3)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
