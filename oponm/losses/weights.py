"""Weights of the classes, for any loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.errors import check_choice
from oponm.losses.checks import check_below_one, check_counts

WEIGHTS = ("none", "inverse_frequency", "effective_number")


def class_weights(class_counts: Sequence[int], kind: str = "none", beta: float = 0.9999) -> Tensor | None:
    r"""The weight of each class's rows in the mean, with a mean of 1 over the classes.

    .. math:: w_j \propto \frac{1}{n_j} \quad \text{or} \quad w_j \propto \frac{1 - \beta}{1 - \beta^{n_j}}

    The second kind goes from equal weights (beta = 0) to the first kind (beta -> 1). It is computed in float64, without
    cancellation for any beta.

    Args:
        class_counts: training images of each class, length K.
        kind: ``"none"``, ``"inverse_frequency"`` or ``"effective_number"``.
        beta: parameter of the effective number, in [0, 1).

    Returns:
        Weights, (K,), float32, with sum K; None for ``"none"``.

    Raises:
        InputError: for an unknown kind, a class without an image, or a beta out of range.

    References:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, Sec. 4.

    Example:
        >>> class_weights([90, 10], "inverse_frequency")
        tensor([0.2000, 1.8000])
        >>> class_weights([90, 10], "effective_number", beta=0.9)
        tensor([0.7889, 1.2111])
    """
    check_choice("class_weights", kind, WEIGHTS)
    beta = check_below_one("beta", beta)
    counts = check_counts(class_counts).double()
    if kind == "none":
        return None
    if kind == "inverse_frequency":
        weights = 1 / counts
    else:
        log_beta = torch.log1p(torch.tensor(beta - 1, dtype=torch.float64))
        weights = -1 / torch.expm1(counts * log_beta)  # the common factor 1 - beta is left out
    return (weights * (len(weights) / weights.sum())).float()
