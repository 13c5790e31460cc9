"""mixup: blends two images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.data.mixing.base import Mixing


class Mixup(Mixing):
    r"""Blend each natural image with another of its batch, and their labels in the same shares.

    .. math:: \tilde x_i = \lambda_i x_i + (1 - \lambda_i) x_j, \quad \lambda_i \sim \text{Beta}(\alpha, \alpha)

    Args:
        alpha: parameter of the shares, see :class:`~oponm.data.mixing.Mixing`.
        probability: probability that a row is mixed.

    Raises:
        InputError: for a value out of range.

    References:
        Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018. In their code the
        images of a batch all have the same share.

    Example:
        >>> from oponm.noise import Batch
        >>> images = torch.arange(4.0).view(4, 1, 1, 1)
        >>> batch = Mixup()(Batch(images, torch.arange(4)), torch.Generator().manual_seed(0))
        >>> expected = batch.shares * batch.targets + (1 - batch.shares) * batch.partners
        >>> batch.images.flatten().allclose(expected)
        True
    """

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        super().__init__(alpha, probability)

    def combine(
        self, images: Tensor, others: Tensor, shares: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Mixing.combine`."""
        return torch.lerp(others, images, shares.to(images.dtype)[:, None, None, None]), shares


def mixup(class_counts: Sequence[int], alpha: float = 1.0, probability: float = 1.0) -> Mixup:
    """Make :class:`Mixup`.

    Args:
        class_counts: training images of each class; mixup does not use them.
        alpha: parameter of the shares, see :class:`~oponm.data.mixing.Mixing`.
        probability: probability that a row is mixed.

    Raises:
        InputError: for a value out of range.

    Example:
        >>> mixup([10, 1], alpha=0.2).alpha
        0.2
    """
    return Mixup(alpha, probability)
