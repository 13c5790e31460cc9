"""How well probabilities rank the images of each class, over all thresholds."""

from __future__ import annotations

from statistics import fmean

from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from oponm.metrics.answers import Answers


def ranking_scores(answers: Answers) -> dict[str, float]:
    """Compute area under the ROC curve and average precision, one class against the rest, as means over classes.

    A class that has no image or all images has neither metric and is left out.

    Args:
        answers: predictions for a test set.

    Returns:
        A dict with ``roc_auc`` and ``average_precision``, in [0, 1], six digits. It is empty for more than 1,000
        classes, of which only the five likeliest probabilities are kept, or if no class has the metrics.

    References:
        torchmetrics' ``binary_auroc`` and ``binary_average_precision``.

    Example:
        >>> import torch
        >>> ranking_scores(Answers.of(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])))
        {'roc_auc': 1.0, 'average_precision': 1.0}
    """
    if answers.classes.shape[1]:
        return {}
    areas, precisions = [], []
    for label, probabilities in enumerate(answers.probabilities.double().unbind(1)):
        of_class = (answers.targets == label).long()
        if 0 < of_class.sum() < len(of_class):
            areas.append(float(binary_auroc(probabilities, of_class)))
            precisions.append(float(binary_average_precision(probabilities, of_class)))
    if not areas:
        return {}
    return {
        "roc_auc": round(fmean(areas), 6),
        "average_precision": round(fmean(precisions), 6),
    }
