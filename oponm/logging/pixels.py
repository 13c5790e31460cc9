"""Draws a figure into an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
