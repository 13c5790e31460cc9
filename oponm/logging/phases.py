"""A table of the scalars of a run, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def phase_table(
    rows: Sequence[tuple[int, Mapping[str, float]]], phases: Sequence[Mapping[str, Any]], epochs: int
) -> list[list[Any]]:
    """Tabulate the last value of each scalar of training and validation in each phase.

    Args:
        rows: logged rows (step, scalars); rows without an ``epoch`` are ignored.
        phases: ``name`` and ``start`` of each phase, as in ``result.json``.
        epochs: number of epochs of the run.

    Returns:
        The names of the columns, ``phase``, ``name``, ``start`` and the scalars; then a line per phase.

    Example:
        >>> rows = [(9, {"epoch": 0, "train/loss": 2.0}), (19, {"epoch": 1, "train/loss": 1.0})]
        >>> phase_table(rows, [{"name": "instance", "start": 0}, {"name": "noise", "start": 1}], epochs=2)
        [['phase', 'name', 'start', 'train/loss'], [0, 'instance', 0, 2.0], [1, 'noise', 1, 1.0]]
    """
    last: list[dict[str, float]] = [{} for _ in phases]
    starts = [phase["start"] for phase in phases]
    for _, scalars in rows:
        if scalars.get("epoch", epochs) < epochs:
            last[sum(start <= scalars["epoch"] for start in starts) - 1].update(scalars)
    logged = dict.fromkeys(name for scalars in last for name in scalars)
    names = [name for name in logged if name not in ("epoch", "phase") and not name.startswith("test/")]
    head = ["phase", "name", "start", *names]
    lines = zip(phases, last, strict=True)
    return [head, *([n, p["name"], p["start"], *map(v.get, names)] for n, (p, v) in enumerate(lines))]
