"""Computes the class prior that the softmax of a trained network assumes."""

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
    r"""Return the class prior that the softmax of a network assumes after the last phase.

    The prior of a class is proportional to its sampling probability times its class weight in the loss. Some losses add
    log priors to the logits, such as :class:`~oponm.losses.BalancedSoftmax`, or weight classes by their inverse counts
    (:class:`~oponm.losses.InfluenceBalanced`). For them, the prior is divided by the class frequency in the training
    images. If the loss has a ``tau``, it is the exponent of that frequency. Margins (LDAM, GCL), temperatures (CDT),
    smoothed labels, left-out classes (SEQL), noise rows and the tau-normalization of the classifier are not considered.

    Args:
        phase: the last phase.
        make_loss: function from the class counts to the loss, for a phase without its own loss.
        class_counts: training images of each class, length K.

    Returns:
        The prior: K numbers with sum 1.

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
