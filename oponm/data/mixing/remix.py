"""Remix: mixup in favor of rare classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.data.mixing.mixup import Mixup
from oponm.errors import InputError, check_real


class Remix(Mixup):
    r"""Mixup whose label is given to the rarer class if one is much rarer.

    Images are those of :class:`Mixup`. The label's share is

    .. math::
        \lambda_y = \begin{cases}
            0 & n_i / n_j \ge \kappa \text{ and } \lambda < \tau \\
            1 & n_i / n_j \le 1 / \kappa \text{ and } 1 - \lambda < \tau \\
            \lambda & \text{otherwise}
        \end{cases}

    Args:
        class_counts: training images of each class, each at least 1, length K.
        alpha: parameter of the shares, see :class:`~oponm.data.mixing.Mixing`.
        kappa: ratio of class counts from which a class is much more frequent, at least 1.
        tau: the share below which the much more frequent class loses its label, in [0, 1].

    Raises:
        InputError: for a value out of range.

    References:
        Chou, Chang, Pan, Wei, Juan, "Remix: Rebalanced Mixup", ECCV Workshops 2020, with kappa = 3 and tau = 0.5.

    Example:
        >>> targets, partners = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])
        >>> Remix([100, 1]).share_labels(torch.tensor([0.4, 0.6, 0.6]), targets, partners)
        tensor([0.0000, 0.6000, 1.0000])
    """

    class_counts: Tensor

    def __init__(self, class_counts: Sequence[int], alpha: float = 1.0, kappa: float = 3.0, tau: float = 0.5) -> None:
        super().__init__(alpha)
        counts = torch.as_tensor(class_counts, dtype=torch.float32)
        if counts.ndim != 1 or counts.numel() == 0 or not bool((counts.isfinite() & (counts >= 1)).all()):
            raise InputError("must be a list of numbers, one for each class, none below 1", "class_counts")
        self.register_buffer("class_counts", counts, persistent=False)
        self.kappa, self.tau = check_real("kappa", kappa, 1), check_real("tau", tau, 0, 1)

    def share_labels(self, shares: Tensor, targets: Tensor, partners: Tensor) -> Tensor:
        """See :meth:`Mixing.share_labels`."""
        counts = self.class_counts.to(targets.device)
        own, other = counts[targets], counts[partners]
        # By products, as a quotient of exactly kappa may come out below it.
        to_partner = (own >= self.kappa * other) & (shares < self.tau)
        to_own = (self.kappa * own <= other) & (1 - shares < self.tau)
        return shares.masked_fill(to_own, 1).masked_fill(to_partner, 0)
