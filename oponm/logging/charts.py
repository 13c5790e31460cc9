"""Charts that Weights & Biases draws itself, from numbers: they can be hovered over, and runs compared in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

MOST_CELLS = 10_000  # what Weights & Biases shows of a table: the confusion matrix of 100 classes


class Chart(NamedTuple):
    """A chart by the name of its kind.

    Attributes:
        kind: of the kinds that Weights & Biases keeps, ``wandb/bar/v0`` for instance.
        title: above it.
        fields: column by the name that the kind has for it.
        table: the numbers; the first line names the columns.
    """

    kind: str
    title: str
    fields: dict[str, str]
    table: list[list[Any]]


def bar_chart(title: str, names: Sequence[str], value: str, values: Sequence[float | None]) -> Chart:
    """A bar for each class that has a value.

    Args:
        title: above the chart.
        names: of classes.
        value: what the values are.
        values: of the classes.

    Example:
        >>> bar_chart("accuracy", ["cat", "dog"], "recall", [0.5, None]).table
        [['class', 'recall'], ['cat', 0.5]]
    """
    rows = [[name, number] for name, number in zip(names, values, strict=True) if number is not None]
    return Chart("wandb/bar/v0", title, {"label": "class", "value": value}, [["class", value], *rows])


def confusion_chart(title: str, names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Chart | None:
    """A confusion matrix; None for so many classes that it would be cut off.

    Args:
        title: above the chart.
        names: of classes.
        matrix: row i, column j: images of class i that were taken for class j.

    Example:
        >>> confusion_chart("", ["cat", "dog"], [[3, 1], [0, 2]]).table[:3]
        [['Actual', 'Predicted', 'nPredictions'], ['cat', 'cat', 3], ['cat', 'dog', 1]]
    """
    if len(names) ** 2 > MOST_CELLS:
        return None
    head = ["Actual", "Predicted", "nPredictions"]
    cells = [[names[i], names[j], number] for i, row in enumerate(matrix) for j, number in enumerate(row)]
    return Chart("wandb/confusion_matrix/v1", title, {name: name for name in head}, [head, *cells])
