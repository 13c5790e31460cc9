"""Natural and noise statistics, layer by layer, as a figure and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from oponm.logging.layers import LayerStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    *("layer", "channels", "natural mean", "noise mean", "natural variance", "noise variance"),
    *("distance of means", "log variance ratio"),
)


def layer_rows(layers: Sequence[LayerStatistics]) -> list[list[Any]]:
    """One row of :data:`COLUMNS` per layer; each figure is the mean over its channels.

    Example:
        >>> import torch
        >>> layer = LayerStatistics("norm", torch.tensor([[0.0], [3.0]]), torch.tensor([[4.0], [1.0]]))
        >>> layer_rows([layer])
        [['norm', 1, 0.0, 3.0, 4.0, 1.0, 1.5, -1.386294]]
    """
    return [
        [layer.name, layer.mean.shape[1]]
        + [round(float(values.mean()), 6) for values in (*layer.mean, *layer.var, layer.distance, layer.log_ratio)]
        for layer in layers
    ]


def layers_figure(layers: Sequence[LayerStatistics]) -> Figure:
    """Draw the distance of the means and the ratio of the variances for each layer: median and 10-90 % of its channels.

    Args:
        layers: statistics of at least one layer.
    """
    from matplotlib.figure import Figure

    places = list(range(len(layers)))
    figure = Figure(figsize=(9, max(2.6, min(14, 0.27 * len(layers) + 1.5))), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, [layer.distance for layer in layers], "distance of the means (natural standard deviations)"),
        (right, [layer.log_ratio for layer in layers], "ln(noise variance / natural variance)"),
    )
    for axes, values, label in panels:
        low, middle, high = ([float(channels.quantile(share)) for channels in values] for share in (0.1, 0.5, 0.9))
        axes.hlines(places, low, high, color="#2b6cb0", alpha=0.35, lw=4)
        axes.plot(middle, places, "o", color="#2b6cb0", ms=5)
        axes.axvline(0, color="0.55", lw=1)
        axes.set_xlabel(label, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_xlim(left=0)
    left.set_ylim(-0.6, len(layers) - 0.4)
    step = -(-len(layers) // 50)
    left.set_yticks(places[::step], [layer.name for layer in layers][::step], parse_math=False, fontsize=8)
    left.invert_yaxis()  # shared: from the input down to the output
    title = "Noise against natural rows in front of each batch norm (0: alike; dot: median channel, bar: 10-90 %)"
    figure.suptitle(title, fontsize=9.5, x=0.01, ha="left")
    return figure
