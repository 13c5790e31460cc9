"""Checks that a loss with margins fits the classifier that gives the logits."""

from __future__ import annotations

from torch import nn

from oponm.errors import InputError
from oponm.losses import GCL, LDAM
from oponm.models import CosineClassifier
from oponm.models.classifier import find_classifier


def check_margins(loss: nn.Module, model: nn.Module, num_classes: int) -> None:
    """Check that LDAM or GCL, which lower cosines, gets cosines, scaled by the factor that it expects.

    A network whose logits come from a layer that this package does not know is not checked.

    Args:
        loss: the loss of a phase; only LDAM and GCL are checked.
        model: (N, C, H, W) -> logits (N, K).
        num_classes: K.

    Raises:
        InputError: if the logits are those of a plain linear layer, or scaled by another factor.

    References:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, Sec. 3.2:
        the last layer's features and weights are normalized. Li et al., "Long-tailed Visual Recognition via Gaussian
        Clouded Logit Adjustment", CVPR 2022: the same.

    Example:
        >>> check_margins(LDAM([9, 3], scale=10.0), CosineClassifier(8, 2, scale=10.0), num_classes=2)
        >>> check_margins(LDAM([9, 3]), nn.Linear(8, 2), num_classes=2)
        Traceback (most recent call last):
        oponm.errors.InputError: head must be cosine with loss=ldam, whose margins are differences of cosines: ...
    """
    if not isinstance(loss, LDAM | GCL):
        return
    try:
        classifier = find_classifier(model, num_classes)[1]
    except InputError:
        return
    if type(classifier) in (nn.Linear, nn.Conv2d):
        raise InputError(
            f"must be cosine with loss={type(loss).__name__.lower()}, whose margins are differences of cosines: set "
            "model.head=cosine, or end a network of your own in oponm.models.CosineClassifier",
            "head",
        )
    if isinstance(classifier, CosineClassifier) and classifier.scale != loss.scale:
        raise InputError(
            f"must be {classifier.scale:g}, that of the network's cosine classifier, got {loss.scale:g}", "scale"
        )
