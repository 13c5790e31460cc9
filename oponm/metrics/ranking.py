"""How well probabilities rank the images of each class, whatever threshold decides."""

from __future__ import annotations

import numpy as np

from oponm.metrics.answers import Answers


def ranking_scores(answers: Answers) -> dict[str, float]:
    """The area under the ROC curve and the average precision, one class against the rest, as means over classes.

    Classes of which all or none of the images are have neither, and are left out.

    Args:
        answers: for a test set.

    Returns:
        ``roc_auc`` and ``average_precision``, in [0, 1], six digits; nothing for more than 1,000 classes, of which only
        the likeliest probabilities are kept, or where no class has a figure.

    References:
        scikit-learn's ``roc_auc_score`` and ``average_precision_score``.

    Example:
        >>> import torch
        >>> ranking_scores(Answers.of(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1])))
        {'roc_auc': 1.0, 'average_precision': 1.0}
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if answers.classes.shape[1]:
        return {}
    targets, probabilities = answers.targets.numpy(), answers.probabilities.double().numpy()
    areas, precisions = [], []
    for label in range(probabilities.shape[1]):
        of_class = targets == label
        if of_class.any() and not of_class.all():
            areas.append(roc_auc_score(of_class, probabilities[:, label]))
            precisions.append(average_precision_score(of_class, probabilities[:, label]))
    if not areas:
        return {}
    return {
        "roc_auc": round(float(np.mean(areas)), 6),
        "average_precision": round(float(np.mean(precisions)), 6),
    }
