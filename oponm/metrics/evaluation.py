"""The metrics of an evaluation: computed on the device, summed up once at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassRecall

from oponm.longtail import shot_groups


def evaluation_metrics(num_classes: int) -> MetricCollection:
    """Top-1 accuracy, balanced accuracy and the recall of each class.

    Args:
        num_classes: number of classes C.

    Returns:
        A collection with the keys ``accuracy``, ``balanced_accuracy`` (scalars) and ``recall`` ((C,)), all in [0, 1].

    Example:
        >>> metrics = evaluation_metrics(2)
        >>> metrics.update(torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1]))
        >>> {name: value.tolist() for name, value in metrics.compute().items()}
        {'accuracy': 0.666..., 'balanced_accuracy': 0.5, 'recall': [1.0, 0.0]}
    """
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(num_classes, average="micro"),
            "balanced_accuracy": MulticlassRecall(num_classes, average="macro"),
            "recall": MulticlassRecall(num_classes, average="none"),
        }
    )


def summarise(
    values: Mapping[str, Tensor], class_counts: Sequence[int], many_over: int = 100, few_under: int = 20
) -> tuple[dict[str, float], list[float]]:
    """Reduce the result of :func:`evaluation_metrics` to numbers to be reported.

    Args:
        values: what the collection computed.
        class_counts: training images of each class; they decide which classes are many-, medium- and few-shot.
        many_over: see :func:`~oponm.longtail.shot_groups`.
        few_under: see :func:`~oponm.longtail.shot_groups`.

    Returns:
        Scalars ``accuracy``, ``balanced_accuracy`` and the mean recall of each shot group that has a class, ``many``,
        ``medium``, ``few``; and the recall of each class. All in [0, 1].

    Example:
        >>> recall = torch.tensor([1.0, 0.5])
        >>> values = {"accuracy": recall[0], "balanced_accuracy": recall.mean(), "recall": recall}
        >>> summarise(values, class_counts=[200, 5])[0]
        {'accuracy': 1.0, 'balanced_accuracy': 0.75, 'many': 1.0, 'few': 0.5}
    """
    recall = values["recall"].cpu()
    scalars = {name: round(float(values[name]), 6) for name in ("accuracy", "balanced_accuracy")}
    for group, members in shot_groups(class_counts, many_over, few_under).items():
        if members:
            scalars[group] = round(float(recall[torch.tensor(members)].mean()), 6)
    return scalars, [round(value, 6) for value in recall.tolist()]
