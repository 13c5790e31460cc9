"""CutMix: pastes a box of another image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.data.mixing.base import Mixing


class CutMix(Mixing):
    r"""Paste a box of another image of the batch into each natural image, at the same position.

    The box has :math:`\sqrt{1 - \lambda_i}` of the image's height and width, rounded down to even pixels, with
    :math:`\lambda_i \sim \text{Beta}(\alpha, \alpha)`, and its center is any pixel; parts outside are cut off.
    The label's share is the share of the remaining pixels.

    Args:
        alpha: parameter of the shares, see :class:`~oponm.data.mixing.Mixing`.
        probability: probability that a row is mixed; 1/2 in the authors' CIFAR runs.

    Raises:
        InputError: for a value out of range.

    References:
        Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features", ICCV 2019, Algorithm 1 and Eq. (2). In their code all images of a batch have the same box.

    Example:
        >>> from oponm.noise import Batch
        >>> images = torch.arange(4).float().view(4, 1, 1, 1).expand(4, 1, 8, 8)
        >>> batch = CutMix(probability=1.0)(Batch(images, torch.arange(4)), torch.Generator().manual_seed(0))
        >>> remaining = (batch.images == images).float().mean((1, 2, 3))
        >>> bool((remaining == batch.shares)[batch.partners != batch.targets].all())
        True
    """

    def __init__(self, alpha: float = 1.0, probability: float = 0.5) -> None:
        super().__init__(alpha, probability)

    def combine(
        self, images: Tensor, others: Tensor, shares: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Mixing.combine`."""
        height, width = images.shape[-2:]
        rows, columns = (_side(size, shares, generator) for size in (height, width))
        area = rows.sum(1) * columns.sum(1)
        box = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(box, others, images), 1 - area / (height * width)


def cutmix(class_counts: Sequence[int], alpha: float = 1.0, probability: float = 0.5) -> CutMix:
    """Make :class:`CutMix`.

    Args:
        class_counts: training images of each class; CutMix does not use them.
        alpha: parameter of the shares, see :class:`~oponm.data.mixing.Mixing`.
        probability: probability that a row is mixed.

    Raises:
        InputError: for a value out of range.

    Example:
        >>> cutmix([10, 1]).probability
        0.5
    """
    return CutMix(alpha, probability)


def _side(size: int, shares: Tensor, generator: torch.Generator) -> Tensor:
    """One side of each image's box: whether it covers each of the (N, size) rows or columns."""
    half = (0.5 * size * (1 - shares).sqrt()).long()[:, None]
    centre = torch.randint(size, shares.shape, generator=generator, device=generator.device).to(shares.device)[:, None]
    pixels = torch.arange(size, device=shares.device)
    return (pixels >= centre - half) & (pixels < centre + half)
