"""The shares of the classes that a method trains a network for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from oponm.data.samplers.orders import CLASS_PROBABILITIES
from oponm.losses import LADE, BalancedSoftmax, InfluenceBalanced, LogitAdjustment, VectorScaling
from oponm.training.phases import Phase


def trained_prior(
    phase: Phase, make_loss: Callable[[Sequence[int]], nn.Module], class_counts: Sequence[int]
) -> list[float]:
    r"""The shares of the classes that the softmax of a network is for after its last phase.

    They are each class's part of the loss: how often it is drawn, times its weight. A loss that adds log priors to the
    logits, or weighs classes by the inverse of their images, takes the training images' shares out again. Margins
    (LDAM, GCL), temperatures (CDT), smoothed labels, left-out classes (SEQL), noise rows and the finish of the
    classifier are not considered.

    Args:
        phase: the last phase.
        make_loss: factory of the loss where the phase has none.
        class_counts: training images of each class.

    Returns:
        K shares with sum 1.

    Example:
        >>> from oponm.losses import CrossEntropy
        >>> trained_prior(Phase(1), CrossEntropy, [75, 25])
        [0.75, 0.25]
        >>> trained_prior(Phase(1), BalancedSoftmax, [75, 25])
        [0.5, 0.5]
        >>> trained_prior(Phase(1, "class_balanced"), CrossEntropy, [75, 25])
        [0.5, 0.5]
    """
    counts = torch.tensor(class_counts)
    shares = counts.double() / counts.sum()
    own = shares.clone()
    if phase.sampler != "instance":
        shares = CLASS_PROBABILITIES[phase.sampler](counts, 1.0)
    if (weights := phase.weights(class_counts)) is not None:
        shares = shares * weights.double()
    loss = (phase.loss or make_loss)(class_counts)
    if isinstance(loss, BalancedSoftmax | LogitAdjustment | VectorScaling | LADE | InfluenceBalanced):
        shares = shares / own ** getattr(loss, "tau", 1.0)
    return [round(share, 9) for share in (shares / shares.sum()).tolist()]
