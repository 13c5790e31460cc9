"""Values per class for a group of runs, head to tail, in bins of classes so that they fit on a page."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oponm.longtail import head_to_tail
from oponm.metrics import class_fifths, read_confusion
from oponm.report.compare import Comparison
from oponm.report.group import Group, standard_error
from oponm.report.paired import paired_difference
from oponm.report.settings import repeat_of
from oponm.report.text import printable

BINS, MATRIX_BINS = 100, 50
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """The classes of a split, most to fewest training images.

    Attributes:
        names: class names by label.
        counts: training images by label.
    """

    names: list[str]
    counts: list[int]

    @classmethod
    def of(cls, group: Group) -> Classes:
        """The classes that a group was trained on."""
        run = group.runs[0]
        return cls([printable(name) for name in run["class_names"]], run["class_counts"])

    def bins(self, most: int) -> list[np.ndarray]:
        """Return the labels in at most ``most`` bins, head to tail.

        If there are more classes, neighboring classes share a bin. The larger bins are in the tail.

        Args:
            most: largest number of bins.
        """
        order = np.array(head_to_tail(self.counts))
        return [part[::-1] for part in np.array_split(order[::-1], min(most, len(order)))][::-1]

    def labels(self, most: int) -> list[str]:
        """Return a name for each bin of :meth:`bins`.

        Args:
            most: largest number of bins.

        Example:
            >>> Classes(["cat", "dog", "owl"], [5, 90, 30]).labels(2)
            ['dog', 'owl to cat']
        """
        ends = [(self.names[labels[0]], self.names[labels[-1]]) for labels in self.bins(most)]
        return [first if first == last else f"{first} to {last}" for first, last in ends]


def binned_recall(group: Group, most: int) -> dict[tuple[int, int], np.ndarray]:
    """Return the mean recall of each bin of classes for each run; classes without test images are left out.

    Args:
        group: the group of runs.
        most: largest number of bins, see :meth:`Classes.bins`.

    Returns:
        A dict from (seed, fold) to the recalls, (bins,).
    """
    bins = Classes.of(group).bins(most)
    recalls = {repeat_of(run): np.array(run["recall"], dtype=float) for run in group.runs}
    return {seed: np.array([_known_mean(recall[labels]) for labels in bins]) for seed, recall in recalls.items()}


def fifths(group: Group) -> list[tuple[float, float]]:
    """Mean accuracy of each fifth of the classes, head to tail, and its standard error.

    Args:
        group: the group of runs.

    Returns:
        The fifths of :func:`~oponm.metrics.class_fifths`, the most frequent classes first; empty for fewer than five
        classes. Classes without test images are left out.

    Example:
        >>> run = {"class_counts": [9, 7, 5, 3, 1], "recall": [1.0, 0.8, 0.6, 0.5, 0.1]}
        >>> [mean for mean, _ in fifths(Group("erm", [run]))]
        [1.0, 0.8, 0.6, 0.5, 0.1]
    """
    parts = class_fifths(group.runs[0]["class_counts"])[::-1]
    recalls = [np.array(run["recall"], dtype=float) for run in group.runs]
    columns = [[_known_mean(recall[labels]) for recall in recalls] for labels in parts]
    return [(float(np.mean(column)), standard_error(column)) for column in columns]


def class_series(group: Group, comparison: Comparison | None) -> dict[str, Any]:
    """Return the series that the plots of a page show for a group, in percent.

    Args:
        group: the group of runs.
        comparison: comparison with the baseline; None for a group without a baseline.

    Returns:
        A dict. ``recall`` and ``difference`` (recall minus that of the baseline, in percentage points) are two lists
        over the bins of classes: the mean, and the half width of its error bar. The half width is the standard error
        for ``recall``, and half of the 95 % confidence interval for ``difference``. ``noise`` is the percentage of pure
        noise images predicted as each bin; ``confusion`` is that of :func:`confusion`. A key is absent if the runs lack
        its values.
    """
    recall = binned_recall(group, BINS)
    table = np.stack(list(recall.values()))
    series: dict[str, Any] = {"recall": [_percent(table.mean(0)), _percent([standard_error(c) for c in table.T])]}
    if comparison is not None:
        other = binned_recall(comparison.baseline, BINS)
        found = [
            paired_difference(
                {seed: values[place] for seed, values in recall.items()},
                {seed: values[place] for seed, values in other.items()},
            )
            for place in range(table.shape[1])
        ]
        series["difference"] = [_percent([d.mean for d in found]), _percent([(d.high - d.low) / 2 for d in found])]
    classes = Classes.of(group)
    if histograms := [run["noise_histogram"] for run in group.runs if run.get("noise_histogram")]:
        shares = _shares(np.array(histograms, dtype=float)).mean(0)
        series["noise"] = _percent([shares[labels].sum() for labels in classes.bins(BINS)])
    if matrices := [matrix for run in group.runs if (matrix := matrix_of(run)) is not None]:
        series["confusion"] = confusion(matrices, classes)
    return series


def confusion(matrices: Sequence[Any], classes: Classes) -> dict[str, Any]:
    """Compute the mean confusion matrix of runs.

    Args:
        matrices: (C, C) each, sparse or not; rows are true classes, columns predicted ones.
        classes: the C classes.

    Returns:
        ``cells``, a byte per pair of bins in base64, row by row, head to tail; 255 means 100 % of the images of the
        bin's true classes. ``worst``, the three most frequent confusions as (true class, predicted class, percent of
        the images of the true class).
    """
    from scipy.sparse import coo_array, csr_array, diags_array

    number = len(classes.names)
    mean = csr_array((number, number))
    for matrix in map(csr_array, matrices):
        sums = matrix.sum(1)
        mean = mean + diags_array(np.divide(1.0, sums, out=np.zeros(number), where=sums > 0)) @ matrix
    mean = mean / len(matrices)
    bins = classes.bins(MATRIX_BINS)
    bin_of = np.empty(number, dtype=int)
    for place, labels in enumerate(bins):
        bin_of[labels] = place
    members = csr_array((np.ones(number), (bin_of, np.arange(number))), shape=(len(bins), number))
    cells = (members @ mean @ members.T).toarray() / members.sum(1)[:, None]
    shares = coo_array(mean)
    apart = np.where(shares.row == shares.col, 0, shares.data)
    order = np.lexsort((shares.col, shares.row, -apart))[:3]
    return {
        "cells": base64.b64encode((255 * cells).round().astype(np.uint8).tobytes()).decode(),
        "worst": [
            (classes.names[true], classes.names[taken], round(float(100 * share), 1))
            for true, taken, share in zip(shares.row[order], shares.col[order], apart[order], strict=True)
            if share > 0
        ],
    }


def matrix_of(run: Mapping[str, Any]) -> Any:
    """The confusion matrix of a run, (C, C), sparse or as lists; None if there is no readable one.

    Args:
        run: content of its ``result.json``, with ``folder`` where the matrix is in a file.
    """
    said = run.get("confusion_matrix")
    if not isinstance(said, str):
        return said or None
    try:
        matrix = read_confusion(run["folder"], said)
    except (OSError, ValueError) as error:
        log.warning("%s: %s is not drawn: %s", run["folder"], said, error)
        return None
    fits = matrix is not None and matrix.shape[0] == len(run["class_names"])
    return matrix if fits else None


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Amounts divided by their row's sum; a row of zeros stays zero."""
    sums = amounts.sum(-1, keepdims=True)
    return np.divide(amounts, sums, out=np.zeros_like(amounts), where=sums > 0)


def _percent(values: Any) -> list[float]:
    return [round(100 * float(value), 1) for value in values]
