"""The classes of one run in a table: training and test images, recall, precision and F1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from oponm.errors import InputError
from oponm.longtail import SHOTS, THIRDS, head_to_tail, shot_groups
from oponm.report.group import known
from oponm.report.settings import shots_of
from oponm.report.tables import Cell, Column, Table, percent
from oponm.report.text import printable

_COLUMNS = [Column("class", "class", "text"), Column("group", "group", "text"), Column("train", "training images")]
_COLUMNS += [Column("test", "test images"), Column("recall", "recall"), Column("precision", "precision")]
_COLUMNS += [Column("f1", "F1")]


def class_table(run: Mapping[str, Any], most: int | None = None) -> Table:
    """Make a table with a row for each class of a run, from most to fewest training images; metrics in percent.

    Args:
        run: content of its ``result.json``, see :func:`~oponm.report.collect_runs`.
        most: largest number of rows; if there are more classes, those with the lowest recall are kept. None keeps all.

    Returns:
        A table called ``classes``. Its column ``group`` is left out if :func:`class_groups_of` returns no groups.

    Example:
        >>> run = {"class_names": ["cat", "dog"], "class_counts": [5, 90], "test_counts": [4, 10], "metrics": {}}
        >>> table = class_table({**run, "recall": [0.5, 0.9], "precision": [1.0, None], "overrides": [], "choices": {}})
        >>> [[cell.text for cell in row] for row in table.chosen(table.brief).rows]
        [['dog', '90', '10', '90.0', '-', '0.0'], ['cat', '5', '4', '50.0', '100.0', '66.7']]
    """
    names, counts, recalls = run["class_names"], run["class_counts"], run["recall"]
    tested = run.get("test_counts") or [None] * len(names)
    measured = run.get("precision")  # older runs have none
    precisions = measured or [None] * len(names)
    groups = class_groups_of(run)
    rows = [
        [
            Cell(printable(names[label]), printable(names[label])),
            Cell(groups.get(label, "")),
            Cell(str(counts[label]), counts[label]),
            Cell("-", math.nan) if tested[label] is None else Cell(str(tested[label]), tested[label]),
            _share(recalls[label]),
            _share(precisions[label]),
            _share(f1(recalls[label], precisions[label]) if measured else None),
        ]
        for label in shown_classes(run, most)
    ]
    keys = [column.key for column in _COLUMNS if groups or column.key != "group"]
    return Table("classes", _COLUMNS, rows, keys, keys)


def shown_classes(run: Mapping[str, Any], most: int | None = None) -> list[int]:
    """Return the labels from most to fewest training images.

    Args:
        run: content of its ``result.json``.
        most: largest number of labels; if there are more, those with the lowest recall are kept. None keeps all.

    Example:
        >>> shown_classes({"class_counts": [5, 90, 30], "recall": [0.5, 0.1, None]}, most=2)
        [1, 0]
    """
    order = head_to_tail(run["class_counts"])
    if most is None or len(order) <= most:
        return order
    recalls = [recall if known(recall) else math.inf for recall in run["recall"]]
    kept = set(sorted(order, key=lambda label: recalls[label])[:most])
    return [label for label in order if label in kept]


def class_groups_of(run: Mapping[str, Any]) -> dict[int, str]:
    """Return the group of each class, such as ``"tail"``, by label.

    Args:
        run: content of its ``result.json``.

    Returns:
        A dict from label to group; empty if the run has no metrics of the groups, or their thresholds are unknown.

    Example:
        >>> class_groups_of({"metrics": {"head": 0.9, "tail": 0.1}, "class_counts": [5, 90]})
        {1: 'head', 0: 'tail'}
    """
    many = few = None
    if not set(THIRDS) & run["metrics"].keys():
        many, few = shots_of(run)
        if (many is None and few is None) or not set(SHOTS) & run["metrics"].keys():
            return {}
    try:
        groups = shot_groups(run["class_counts"], many, few)
    except InputError:
        return {}
    return {label: name for name, labels in groups.items() for label in labels}


def f1(recall: float | None, precision: float | None) -> float | None:
    """The harmonic mean of a class's recall and precision; 0 where one of them is undefined, as in ``macro_f1``.

    Args:
        recall: in [0, 1]; None for a class without test images.
        precision: in [0, 1]; None for a class that is never predicted.

    Example:
        >>> f1(0.5, 1.0), f1(0.0, 0.0), f1(0.5, None)
        (0.6666666666666666, 0.0, 0.0)
    """
    if recall is None and precision is None:
        return None
    if recall is None or precision is None:
        return 0.0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _share(value: float | None) -> Cell:
    number = math.nan if value is None else value
    return Cell(percent(number, math.nan), number)
