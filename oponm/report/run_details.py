"""Single runs in detail, for the page: their classes, their confusions and their worst errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from oponm.report.class_table import class_table, shown_classes
from oponm.report.classes import matrix_of
from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.page_data import NUMBERED, highlights
from oponm.report.predictions import BINS, Predictions, Reliability, read_predictions, reliability, worst_errors
from oponm.report.settings import fold_of
from oponm.report.tables import Table
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
log = logging.getLogger(__name__)


class MatrixRow(NamedTuple):
    """A true class.

    Attributes:
        name: of the class.
        cells: the number of images taken for each class, and the depth of its color, 0 to 10.
    """

    name: str
    cells: list[tuple[int, int]]


class Pair(NamedTuple):
    """What is often taken for what: the true and the predicted class, images, and percent of the true class."""

    true: str
    taken: str
    images: int
    share: float


class PicturedError(NamedTuple):
    """A wrong prediction: the predicted class, its probability in percent, the image's name, and a data URI or ""."""

    taken: str
    percent: float
    image: str
    uri: str


class ClassErrors(NamedTuple):
    """The worst errors on a class; ``told`` says how many there are."""

    name: str
    told: str
    errors: list[PicturedError]


class Bar(NamedTuple):
    """A bin of a reliability diagram: images, and in percent its mean confidence and accuracy."""

    images: int
    confidence: float
    accuracy: float


class Diagram(NamedTuple):
    """A reliability diagram.

    Attributes:
        told: its meaning in words.
        error: the expected calibration error in percent.
        bars: by place of the bin, those that hold images.
        most: images of the fullest bin.
        bins: number of bins.
    """

    told: str
    error: float
    bars: dict[int, Bar]
    most: int
    bins: int


@dataclass(frozen=True)
class RunDetail:
    """A run in detail; what is unknown is empty, and ``remarks`` say why.

    Attributes:
        name: the group and the seed.
        classes: see :func:`~oponm.report.class_table.class_table`.
        matrix: the confusion matrix, head to tail, for up to 30 classes.
        pairs: the most frequent confusions, for more classes.
        errors: the worst errors of each class, head to tail.
        diagram: the reliability diagram.
        remarks: what is not shown, and why.
    """

    name: str
    classes: Table
    matrix: list[MatrixRow] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    errors: list[ClassErrors] = field(default_factory=list)
    diagram: Diagram | None = None
    remarks: list[str] = field(default_factory=list)


def run_details(groups: Sequence[Group], comparisons: Sequence[Comparison]) -> list[RunDetail]:
    """The first run of the groups to look at first, in detail.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.

    Returns:
        At most :data:`MOST_RUNS`; a run without test images has no detail.
    """
    splits = dict.fromkeys(group.split for group in groups)
    members = [highlights([group for group in groups if group.split == split], comparisons) for split in splits]
    tested = [group for split in members for group in split if group.runs[0]["metrics"]][:MOST_RUNS]
    return [_detail(group, PICTURES // len(tested), _ERRORS // len(tested)) for group in tested]


def _detail(group: Group, budget: int, most: int) -> RunDetail:
    run, remarks = group.runs[0], []
    if len(run["class_names"]) > MOST_ROWS:
        remarks.append(f"the table has the {MOST_ROWS} classes with the lowest recall, of {len(run['class_names'])}")
    matrix, few = matrix_of(run), len(run["class_names"]) <= NUMBERED
    if matrix is None:
        remarks.append("the run has no confusion matrix")
    detail: dict[str, Any] = {"name": _name(group), "classes": class_table(run, MOST_ROWS), "remarks": remarks}
    if matrix is not None:
        detail |= {"matrix": _matrix_rows(run, matrix)} if few else {"pairs": worst_pairs(run, matrix)}
    predictions = _predictions(run, remarks)
    if predictions is not None:
        detail["errors"] = _errors(run, predictions, budget, most, remarks)
        detail["diagram"] = _diagram(reliability(predictions), predictions)
    return RunDetail(**detail)


def _name(group: Group) -> str:
    run, more = group.runs[0], len(group.runs) > 1
    fold = fold_of(run)
    told = f"{group.name}, seed {run['seed']}" + (f", fold {fold[1]}" if fold else "")
    return f"{told} (of {len(group.runs)} runs)" if more else told


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


def _matrix_rows(run: Mapping[str, Any], matrix: Any) -> list[MatrixRow]:
    from scipy.sparse import csr_array

    order = shown_classes(run)
    counts = csr_array(matrix).toarray()[np.ix_(order, order)]
    depths = np.ceil(_DEPTHS * counts / np.maximum(counts.sum(1, keepdims=True), 1)).astype(int)
    names = [printable(run["class_names"][label]) for label in order]
    rows = zip(names, counts.astype(int).tolist(), depths.tolist(), strict=True)
    return [MatrixRow(name, list(zip(own, depth, strict=True))) for name, own, depth in rows]


def worst_pairs(run: Mapping[str, Any], matrix: Any) -> list[Pair]:
    """The most frequent confusions of a run, by their share of the true class.

    Args:
        run: content of its ``result.json``.
        matrix: (C, C), sparse or not; rows are true classes, columns predicted ones.

    Example:
        >>> worst_pairs({"class_names": ["cat", "dog"]}, [[6, 2], [0, 5]])
        [Pair(true='cat', taken='dog', images=2, share=25.0)]
    """
    from scipy.sparse import coo_array, csr_array

    counts = coo_array(csr_array(matrix))
    sums = np.bincount(counts.row, weights=counts.data, minlength=len(run["class_names"]))
    wrong = np.flatnonzero((counts.row != counts.col) & (counts.data > 0))
    shares = counts.data[wrong] / sums[counts.row[wrong]]
    order = wrong[np.lexsort((counts.col[wrong], counts.row[wrong], -counts.data[wrong], -shares))[:_PAIRS]]
    names = run["class_names"]
    return [
        Pair(printable(names[true]), printable(names[taken]), int(images), round(float(100 * images / sums[true]), 1))
        for true, taken, images in zip(counts.row[order], counts.col[order], counts.data[order], strict=True)
    ]


def _errors(
    run: Mapping[str, Any], predictions: Predictions, budget: int, most: int, remarks: list[str]
) -> list[ClassErrors]:
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

    def pictured(place: int) -> PicturedError:
        taken = printable(run["class_names"][predictions.predicted[place]])
        percent = round(100 * float(predictions.confidence[place]), 1)
        return PicturedError(taken, percent, printable(predictions.images[place]), uris[place])

    return [
        ClassErrors(
            printable(run["class_names"][label]),
            f"{missed[label]} of {tested[label]} wrong",
            [pictured(place) for place in places[label]],
        )
        for label in classes
    ]


def _diagram(found: Reliability, predictions: Predictions) -> Diagram:
    sure = 100 * float(predictions.confidence.mean())
    right = 100 * float((predictions.targets == predictions.predicted).mean())
    verdict = "surer than it is right" if sure > right + 1 else "less sure than it is right" if sure < right - 1 else ""
    bars = {
        place: Bar(int(found.images[place]), *(100 * float(part[place]) for part in (found.confidence, found.accuracy)))
        for place in range(BINS)
        if found.images[place]
    }
    told = f"On average the network is {sure:.1f} % sure and {right:.1f} % right"
    return Diagram(
        f"{told}{f': {verdict}' if verdict else ''}. Expected calibration error (ECE): {100 * found.error:.1f} %.",
        100 * found.error,
        bars,
        int(found.images.max()),
        BINS,
    )
