"""Single runs in detail, for the page: their classes, their confusions and their worst errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from oponm.report.class_table import class_table, shown_classes
from oponm.report.classes import matrix_of
from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.page_data import NUMBERED, highlights
from oponm.report.predictions import Predictions, read_predictions, reliability, worst_errors
from oponm.report.settings import fold_of
from oponm.report.text import printable
from oponm.report.thumbnails import data_uris, pictures
from oponm.run_files import PREDICTIONS_FILE

MOST_RUNS = 10
MOST_ROWS = 200  # classes in a table
_PICTURED = 30  # classes with pictures; of more the worst
PICTURES = 2_500_000  # characters of all pictures of a page
_ERRORS, _OF_CLASS = 240, 6  # largest number of pictures on a page, and of a class
_PAIRS = 20
_DEPTHS = 10  # of color in a matrix


def run_details(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> list[SimpleNamespace]:
    """Return details of the first run of each group of :func:`~oponm.report.page_data.highlights`, for ``page.html``.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.

    Returns:
        At most :data:`MOST_RUNS` runs, without those that have no test images. Each has ``name``, the group and the
        seed; ``classes``, see :func:`~oponm.report.class_table.class_table`; ``matrix``, the confusion matrix, head to
        tail, or for more than 30 classes ``pairs``, the most frequent confusions; ``errors``, the wrong predictions
        with the highest probability for each class; ``diagram``, see
        :func:`~oponm.report.predictions.reliability`; and ``remarks``, lines on what is not shown, and why. What is
        unknown is empty.
    """
    tested = [group for group in highlights(groups, comparisons) if group.runs[0]["metrics"]][:MOST_RUNS]
    return [_detail(group, PICTURES // len(tested), _ERRORS // len(tested)) for group in tested]


def _detail(group: Group, budget: int, most: int) -> SimpleNamespace:
    run, remarks = group.runs[0], list[str]()
    table = class_table(run, MOST_ROWS)
    detail = SimpleNamespace(name=_name(group), classes=table.chosen(table.wide), remarks=remarks)
    detail.matrix, detail.pairs, detail.errors, detail.diagram = [], [], [], None
    if len(run["class_names"]) > MOST_ROWS:
        remarks.append(f"the table has the {MOST_ROWS} classes with the lowest recall, of {len(run['class_names'])}")
    matrix, few = matrix_of(run), len(run["class_names"]) <= NUMBERED
    if matrix is None:
        remarks.append("the run has no confusion matrix")
    elif few:
        detail.matrix = _matrix_rows(run, matrix)
    else:
        detail.pairs = worst_pairs(run, matrix)
    if (predictions := _predictions(run, remarks)) is not None:
        detail.errors = _errors(run, predictions, budget, most, remarks)
        detail.diagram = reliability(predictions)
    return detail


def _name(group: Group) -> str:
    run, more = group.runs[0], len(group.runs) > 1
    fold = fold_of(run)
    name = f"{group.name}, seed {run['seed']}" + (f", fold {fold[1]}" if fold else "")
    return f"{name} (of {len(group.runs)} runs)" if more else name


def _predictions(run: Mapping[str, Any], remarks: list[str]) -> Predictions | None:
    try:
        found = read_predictions(run["folder"], run["class_names"])
    except (KeyError, FileNotFoundError):
        remarks.append(f"the run has no {PREDICTIONS_FILE}, which its worst errors and its reliability are read from")
    except (OSError, ValueError) as error:
        remarks.append(printable(f"no errors are shown: {error}"))
    else:
        return found if found.images else None
    return None


def _matrix_rows(run: Mapping[str, Any], matrix: Any) -> list[SimpleNamespace]:
    """The classes, each with the number of its images predicted as every class, and the depth of color, 0 to 10."""
    from scipy.sparse import csr_array

    order = shown_classes(run)
    counts = csr_array(matrix).toarray()[np.ix_(order, order)]
    depths = np.ceil(_DEPTHS * counts / np.maximum(counts.sum(1, keepdims=True), 1)).astype(int)
    names = [printable(run["class_names"][label]) for label in order]
    rows = zip(names, counts.astype(int).tolist(), depths.tolist(), strict=True)
    return [SimpleNamespace(name=name, cells=list(zip(own, depth, strict=True))) for name, own, depth in rows]


def worst_pairs(run: Mapping[str, Any], matrix: Any) -> list[SimpleNamespace]:
    """Return the most frequent confusions of a run, by their percentage of the images of the true class.

    Args:
        run: content of its ``result.json``.
        matrix: (C, C), sparse or not; rows are true classes, columns predicted ones.

    Example:
        >>> worst_pairs({"class_names": ["cat", "dog"]}, [[6, 2], [0, 5]])
        [namespace(true='cat', taken='dog', images=2, share=25.0)]
    """
    from scipy.sparse import coo_array, csr_array

    counts = coo_array(csr_array(matrix))
    sums = np.bincount(counts.row, weights=counts.data, minlength=len(run["class_names"]))
    wrong = np.flatnonzero((counts.row != counts.col) & (counts.data > 0))
    shares = counts.data[wrong] / sums[counts.row[wrong]]
    order = wrong[np.lexsort((counts.col[wrong], counts.row[wrong], -counts.data[wrong], -shares))[:_PAIRS]]
    names = [printable(name) for name in run["class_names"]]
    found = zip(counts.row[order], counts.col[order], counts.data[order], strict=True)
    return [
        SimpleNamespace(true=names[i], taken=names[j], images=int(n), share=round(float(100 * n / sums[i]), 1))
        for i, j, n in found
    ]


def _errors(
    run: Mapping[str, Any], predictions: Predictions, budget: int, most: int, remarks: list[str]
) -> list[SimpleNamespace]:
    """The worst errors of each class, with pictures in the budget; of many classes those with the lowest recall."""
    wrong = predictions.targets != predictions.predicted
    missed = np.bincount(predictions.targets[wrong], minlength=len(run["class_names"]))
    tested = np.bincount(predictions.targets, minlength=len(run["class_names"]))
    shown = min(_PICTURED, most)
    classes = [label for label in shown_classes(run, shown) if missed[label]]
    if len(run["class_names"]) > shown:
        remarks.append(f"errors are of the {len(classes)} classes with the lowest recall")
    of_class = max(1, min(_OF_CLASS, most // max(1, len(classes))))
    places = {label: worst_errors(predictions, label, of_class) for label in classes}
    every = [place for own in places.values() for place in own]
    if not every:
        return []
    names = [predictions.images[place] for place in every]
    images, reason = pictures(run, predictions.kind, names)
    uris = dict(zip(every, data_uris(images, budget), strict=True))
    if reason:
        remarks.append(printable(reason))

    classes_shown = [printable(name) for name in run["class_names"]]

    def pictured(place: int) -> SimpleNamespace:
        taken, image = classes_shown[predictions.predicted[place]], printable(predictions.images[place])
        percent = round(100 * float(predictions.confidence[place]), 1)
        return SimpleNamespace(taken=taken, percent=percent, image=image, uri=uris[place])

    return [
        SimpleNamespace(
            name=classes_shown[label],
            text=f"{missed[label]} of {tested[label]} wrong",
            errors=[pictured(place) for place in places[label]],
        )
        for label in classes
    ]
