"""Training curves: the scalars of ``metrics.csv``, averaged over the runs of a group."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oponm.report.group import Group

CURVES = ("train/loss", "train/accuracy", "val/balanced_accuracy", "noise_share", "lr")
POINTS = 80


def read_curves(path: Path) -> dict[str, dict[int, float]]:
    """Read the curves of a run: value by epoch, by name.

    Args:
        path: a ``metrics.csv``. Cells that are no numbers are left out; a missing file has no curves.

    Example:
        >>> read_curves(Path("nowhere.csv"))
        {}
    """
    curves: dict[str, dict[int, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                epoch = _number(row.get("epoch"))
                for name in CURVES:
                    if epoch is not None and (value := _number(row.get(name))) is not None:
                        curves.setdefault(name, {})[int(epoch)] = value
    except (OSError, ValueError, csv.Error):
        return {}
    return curves


def group_curves(group: Group) -> dict[str, list[list[Any]]]:
    """The mean curves of a group, over the epochs that all runs with the curve have, thinned.

    Args:
        group: runs of one setting, with their ``folder``.

    Returns:
        ``{name: [epochs, values]}``, at most :data:`POINTS` each, first and last epoch included.
    """
    runs = [read_curves(run["folder"] / "metrics.csv") for run in group.runs if "folder" in run]
    curves: dict[str, list[list[Any]]] = {}
    for name in CURVES:
        having = [run[name] for run in runs if name in run]
        if having and (epochs := sorted(set.intersection(*(set(curve) for curve in having)))):
            chosen = _thinned(epochs)
            curves[name] = [chosen, [float(np.mean([curve[epoch] for curve in having])) for epoch in chosen]]
    return curves


def _thinned(epochs: Sequence[int]) -> list[int]:
    places = np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).round().astype(int)
    return [epochs[place] for place in places]


def _number(cell: Any) -> float | None:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
