"""Checks that a loss with margins suits the network's classifier."""

from __future__ import annotations

from torch import nn

from oponm.errors import InputError
from oponm.losses import GCL, LDAM
from oponm.models import CosineClassifier
from oponm.models.classifier import find_classifier


def check_margins(loss: nn.Module, model: nn.Module, num_classes: int) -> None:
    """Check for LDAM and GCL that the logits come from a cosine classifier with the same ``scale`` as the loss.

    A network whose classifier is neither a linear or convolution layer of torch nor a
    :class:`~oponm.models.CosineClassifier` is not checked.

    Args:
        loss: the loss of a phase; losses other than LDAM and GCL are not checked.
        model: the network, (N, C, H, W) -> logits (N, K).
        num_classes: K.

    Raises:
        InputError: if the classifier is a linear layer, or a cosine classifier with another scale.

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
