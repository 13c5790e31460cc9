"""The base of all mixing: draws partners and shares."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from oponm.data.mixing.draws import draw_shares, permute_natural
from oponm.errors import InputError, check_real
from oponm.noise import Batch


class Mixing(nn.Module):
    """Mix each natural image with another of its batch.

    Partners are a random permutation of the natural rows; a row may be its own partner. Subclasses define the mixture.

    Args:
        alpha: shares come from Beta(alpha, alpha); above 0. 1 draws uniformly; smaller values are nearer to 0 and 1.
        probability: probability that a row is mixed, in [0, 1].

    Raises:
        InputError: for a value out of range.
    """

    def __init__(self, alpha: float, probability: float) -> None:
        super().__init__()
        self.alpha = check_real("alpha", alpha, 0)
        if self.alpha == 0:
            raise InputError("must be above 0, where mixing=none mixes nothing", "alpha")
        self.probability = check_real("probability", probability, 0, 1)

    @torch.no_grad()
    def forward(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Mix the natural rows of a batch.

        Args:
            batch: images (N, C, H, W), floating point in [0, 1].
            generator: source of all randomness, drawn on its own device.

        Returns:
            The batch with mixed images, ``partners`` and ``shares`` (float32). Rows that were not mixed have their own
            label as partner, and share 1. The given batch is not changed.
        """
        number, device = len(batch.targets), batch.images.device
        is_noise = torch.zeros(number, dtype=torch.bool, device=device) if batch.is_noise is None else batch.is_noise
        rows = permute_natural(is_noise, generator)
        uniform = torch.rand(number, generator=generator, device=generator.device).to(device)
        untouched = is_noise | (uniform >= self.probability)
        rows = torch.where(untouched, torch.arange(number, device=device), rows)
        shares = draw_shares(number, self.alpha, generator).to(device).masked_fill(untouched, 1)
        images, shares = self.combine(batch.images, batch.images[rows], shares, generator)
        partners = batch.targets[rows]
        shares = self.share_labels(shares, batch.targets, partners)
        return batch._replace(images=images, partners=partners, shares=shares)

    @abstractmethod
    def combine(
        self, images: Tensor, others: Tensor, shares: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix each pair of images; a share of 1 leaves the first as it is, bit for bit.

        Args:
            images: (N, C, H, W).
            others: (N, C, H, W).
            shares: drawn for ``images``, (N,).
            generator: for further draws.

        Returns:
            The mixtures, and the actual shares of ``images`` in them.
        """

    def share_labels(self, shares: Tensor, targets: Tensor, partners: Tensor) -> Tensor:
        """The labels' shares from the images' shares; equal unless a subclass overrides this.

        Args:
            shares: shares of the images, (N,).
            targets: (N,), int64.
            partners: (N,), int64.
        """
        return shares
