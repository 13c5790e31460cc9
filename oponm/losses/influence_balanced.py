"""The influence-balanced (IB) loss: less weight for rows with a large gradient in the classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_flag
from oponm.losses.checks import check_counts, check_positive
from oponm.losses.precision import at_least_float32


def influence_balanced(
    logits: Tensor,
    targets: Tensor,
    feature_norms: Tensor,
    class_counts: Tensor,
    alpha: float = 1000.0,
    epsilon: float = 1e-3,
    constant_influence: bool = False,
) -> Tensor:
    r"""Cross-entropy divided by the row's influence: the L1 norm of its gradient in the classifier's weights.

    .. math:: \ell = \lambda_y \frac{-\log p_y}{\|p - e_y\|_1 \, \|h\|_1 + \epsilon}, \quad
        \lambda_j = \alpha \frac{K / n_j}{\sum_k 1 / n_k}, \quad p = \mathrm{softmax}(z)

    with h the features that the classifier gets and :math:`e_y` the target as a unit vector. The weights of the classes
    are part of the loss, so a phase needs no ``class_weights``. As in the authors' code, gradients pass through the
    influence too, unless it is taken as a constant.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        feature_norms: L1 norm of each row's features, (N,).
        class_counts: training images of each class, (K,), each at least 1.
        alpha: factor of all losses, above 0.
        epsilon: keeps the quotient finite, above 0.
        constant_influence: no gradient passes through the influence, so that it is a weight of the row.

    Returns:
        Losses, (N,).

    References:
        Park et al., "Influence-Balanced Loss for Imbalanced Visual Classification", ICCV 2021; K and epsilon as in the
        authors' code.

    Example:
        >>> import torch
        >>> counts, norms = torch.tensor([30, 10]), torch.tensor([2.0, 4.0])
        >>> influence_balanced(torch.zeros(2, 2), torch.tensor([0, 1]), norms, counts, alpha=1.0)
        tensor([0.1732, 0.2599])
    """
    logits = at_least_float32(logits)
    pull = (logits.softmax(1) - F.one_hot(targets, logits.shape[1])).abs().sum(1)
    inverse = 1 / class_counts.to(logits.dtype)
    weights = alpha * inverse * (len(inverse) / inverse.sum())
    influence = pull * feature_norms.to(logits.dtype) + epsilon
    if constant_influence:
        influence = influence.detach()
    return weights[targets] * F.cross_entropy(logits, targets, reduction="none") / influence


class InfluenceBalanced(nn.Module):
    """The loss of :func:`influence_balanced`.

    It is for a network that is trained already: a phase after plain training.

    Args:
        class_counts: training images of each class, length K.
        alpha: factor of all losses, above 0; 1000 in the authors' code, with a hundredth of the learning rate.
        epsilon: keeps the quotient finite, above 0.
        constant_influence: no gradient passes through the influence, unlike in the authors' code.

    Attributes:
        takes_features: training passes the features of each row as ``feature_norms``.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> import torch
        >>> loss = InfluenceBalanced([30, 10], alpha=1.0)
        >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]), feature_norms=torch.tensor([2.0, 4.0]))
        tensor([0.1732, 0.2599])
    """

    class_counts: Tensor
    takes_features = True

    def __init__(
        self,
        class_counts: Sequence[int],
        alpha: float = 1000.0,
        epsilon: float = 1e-3,
        constant_influence: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.alpha, self.epsilon = check_positive("alpha", alpha), check_positive("epsilon", epsilon)
        self.constant_influence = check_flag("constant_influence", constant_influence)

    def forward(self, logits: Tensor, targets: Tensor, feature_norms: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K), targets (N,) and L1 norms of the features (N,)."""
        options = (self.alpha, self.epsilon, self.constant_influence)
        return influence_balanced(logits, targets, feature_norms, self.class_counts, *options)
