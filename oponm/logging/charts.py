"""Charts that Weights & Biases draws itself, so that it shows values on hover and several runs in one; and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MOST_CELLS = 10_000  # rows of a table that Weights & Biases shows: the confusion matrix of 100 classes


class Chart(NamedTuple):
    """A chart with the name of its kind.

    Attributes:
        kind: a kind that Weights & Biases provides, such as ``wandb/bar/v0``.
        title: title above the chart.
        fields: column of the table for each field of the kind.
        table: rows of numbers; the first row names the columns.
    """

    kind: str
    title: str
    fields: dict[str, str]
    table: list[list[Any]]


def bar_chart(title: str, names: Sequence[str], value: str, values: Sequence[float | None]) -> Chart:
    """Make a bar chart of the classes that have a value.

    Args:
        title: title above the chart.
        names: names of the classes.
        value: name of the values.
        values: value of each class, or None.

    Example:
        >>> bar_chart("accuracy", ["cat", "dog"], "recall", [0.5, None]).table
        [['class', 'recall'], ['cat', 0.5]]
    """
    rows = [[name, number] for name, number in zip(names, values, strict=True) if number is not None]
    return Chart("wandb/bar/v0", title, {"label": "class", "value": value}, [["class", value], *rows])


def confusion_chart(title: str, names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Chart | None:
    """Make a chart of a confusion matrix; None if it has so many classes that it would be cut off.

    Args:
        title: title above the chart.
        names: names of the classes.
        matrix: row i, column j: images of class i that were predicted as class j.

    Example:
        >>> confusion_chart("", ["cat", "dog"], [[3, 1], [0, 2]]).table[:3]
        [['Actual', 'Predicted', 'nPredictions'], ['cat', 'cat', 3], ['cat', 'dog', 1]]
    """
    if len(names) ** 2 > MOST_CELLS:
        return None
    head = ["Actual", "Predicted", "nPredictions"]
    cells = [[names[i], names[j], number] for i, row in enumerate(matrix) for j, number in enumerate(row)]
    return Chart("wandb/confusion_matrix/v1", title, {name: name for name in head}, [head, *cells])


def phase_table(
    rows: Sequence[tuple[int, Mapping[str, float]]], phases: Sequence[Mapping[str, Any]], epochs: int
) -> list[list[Any]]:
    """Tabulate the last value of each scalar of training and validation in each phase.

    Args:
        rows: logged rows (step, scalars); rows without an ``epoch`` are ignored.
        phases: a dict per phase with ``name`` and ``start``, its first epoch (zero-based), as in ``result.json``.
        epochs: number of epochs of the run.

    Returns:
        The names of the columns, ``phase``, ``name``, ``start`` and the scalars; then a row per phase.

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
