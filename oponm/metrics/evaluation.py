"""The metrics of an evaluation: counted on the device, reduced once at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from oponm.errors import InputError
from oponm.longtail import shot_groups
from oponm.metrics.calibration import ExpectedCalibrationError
from oponm.metrics.class_counts import (
    ClassCounts,
    class_precision,
    class_recall,
    geometric_mean,
    macro_f1,
    mean_recall,
)
from oponm.metrics.confusion import Confusions, sparse_matrix
from oponm.metrics.fifths import class_fifths

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_CONFUSED = 1000  # classes; for more classes, confusions are counted on request only


class Evaluation(NamedTuple):
    """The metrics of a classifier; all values in [0, 1], rounded to six digits.

    Attributes:
        scalars: ``accuracy`` (of all images), ``top5_accuracy`` (for more than five classes), ``balanced_accuracy``
            (mean recall), ``macro_f1``, ``geometric_mean`` (of the recalls: 0 if one of them is 0, see
            :func:`~oponm.metrics.geometric_mean`), ``many``, ``medium`` and ``few``, or ``head``, ``middle`` and
            ``tail`` (mean recall of each group that has a class, see :func:`~oponm.longtail.shot_groups`), ``ece``
            (expected calibration error, 15 bins).
        recall: recall of each class; None for a class without test images.
        precision: precision of each class; None for a class that is never predicted.
        fifths: mean recall of each fifth of the classes, the rarest in training first, see
            :func:`~oponm.metrics.class_fifths`; None for a fifth without test images.
        confusion_matrix: (K, K), sparse; row i, column j: images of class i that were predicted as class j. None if
            it was not counted.
    """

    scalars: dict[str, float]
    recall: list[float | None]
    precision: list[float | None]
    fifths: list[float | None]
    confusion_matrix: csr_array | None


def evaluation_metrics(num_classes: int, confusions: bool = False) -> MetricCollection:
    """Make the metrics that :func:`summarize` needs; their size grows with the classes K, not with their square.

    The metrics hold 7 K + 16 numbers for any number of images (3 K + 16 for at most five classes); with
    ``confusions`` one more number per image. They cover the images of all processes.

    Args:
        num_classes: number of classes K, at least 2.
        confusions: whether to count the predictions of each class.

    Returns:
        A collection, updated with logits (N, K) and targets (N,); it has the keys ``class_counts``, see
        :class:`~oponm.metrics.ClassCounts`, ``ece``, for more than five classes ``top5_accuracy``, and with
        ``confusions`` ``confusions``, see :class:`~oponm.metrics.Confusions`.

    Example:
        >>> import torch
        >>> metrics = evaluation_metrics(2)
        >>> metrics.update(torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1, 1]))
        >>> metrics.compute()["class_counts"].tolist()
        [[1, 1], [1, 2], [2, 1]]
    """
    metrics: dict[str, Metric] = {"class_counts": ClassCounts(num_classes), "ece": ExpectedCalibrationError()}
    if confusions:
        metrics["confusions"] = Confusions(num_classes)
    if num_classes > 5:
        metrics["top5_accuracy"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
    # No two share a state; torchmetrics would search for that by comparing states, which may agree by chance.
    return MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]


def summarize(
    values: Mapping[str, Tensor], class_counts: Sequence[int], many_over: int | None = 100, few_under: int | None = 20
) -> Evaluation:
    """Reduce the result of :func:`evaluation_metrics` to the reported numbers.

    A class without test images has no recall, and means of recall leave it out. If images are predicted as it, its
    precision is 0, and it counts as 0 in ``macro_f1``, as in scikit-learn.

    Args:
        values: the computed values of the collection.
        class_counts: training images of each class; they define the groups of classes, and the order from tail to head.
        many_over: threshold of many-shot classes, see :func:`~oponm.longtail.shot_groups`.
        few_under: threshold of few-shot classes. None for both groups classes into thirds: head, middle and tail.

    Raises:
        InputError: if nothing was counted, or the thresholds overlap.

    Example:
        >>> import torch
        >>> values = {"class_counts": torch.tensor([[4, 1], [4, 2], [5, 1]]), "ece": torch.tensor(0.25)}
        >>> summary = summarize(values, class_counts=[200, 5])
        >>> summary.recall, summary.precision
        ([1.0, 0.5], [0.8, 1.0])
        >>> {name: summary.scalars[name] for name in ("accuracy", "balanced_accuracy", "many", "few", "ece")}
        {'accuracy': 0.833333, 'balanced_accuracy': 0.75, 'many': 1.0, 'few': 0.5, 'ece': 0.25}
    """
    hits, images, taken = values["class_counts"].cpu()
    if not images.any():
        raise InputError("there is no image to evaluate on: give the set at least one")
    recall, groups = class_recall(hits, images), shot_groups(class_counts, many_over, few_under)
    scalars = {
        "accuracy": hits.sum() / images.sum(),
        "top5_accuracy": values.get("top5_accuracy"),
        "balanced_accuracy": recall.nanmean(),
        "macro_f1": macro_f1(hits, images, taken),
        "geometric_mean": geometric_mean(recall),
        **{name: mean_recall(recall, classes) for name, classes in groups.items()},
        "ece": values["ece"],
    }
    return Evaluation(
        {name: round(float(value), 6) for name, value in scalars.items() if value is not None},
        _rounded(recall.tolist()),
        _rounded(class_precision(hits, taken).tolist()),
        _rounded([mean_recall(recall, classes) for classes in class_fifths(class_counts)]),
        sparse_matrix(values["confusions"], len(class_counts)) if "confusions" in values else None,
    )


def unmeasured(class_counts: Sequence[int]) -> Evaluation:
    """Return the evaluation of a run without test images, in which all metrics are missing.

    Args:
        class_counts: training images of each class.

    Example:
        >>> unmeasured([5, 3])
        Evaluation(scalars={}, recall=[None, None], precision=[None, None], fifths=[], confusion_matrix=None)
    """
    classes = [None] * len(class_counts)
    return Evaluation({}, [*classes], [*classes], [None for _ in class_fifths(class_counts)], None)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """Values with six digits; None in place of NaN, which JSON lacks."""
    return [None if value is None or value != value else round(value, 6) for value in values]
