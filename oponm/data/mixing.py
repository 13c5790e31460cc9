"""Mixes natural images with each other: mixup, CutMix and Remix, with a separate draw for each image.

Natural images are those of a batch that are not noise. A row is the position of an image in its batch.

A choice of the config group ``mixing`` is a function from the class counts to a module, or to None for no mixing. The
module takes a :class:`~oponm.noise.Batch` in [0, 1] and a generator. It returns the batch with ``partners``, the second
label of each image, and ``shares``, the mixing weight of its first label. Noise images are not mixed with anything.

torchvision and kornia have mixup and CutMix too, but draw from the global generators, torchvision with one mixing
weight per batch, and neither can leave noise images out.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oponm.errors import InputError, check_real
from oponm.noise import Batch

__all__ = ["CutMix", "Mixing", "Mixup", "Remix", "cutmix", "mixup", "no_mixing"]


def no_mixing(class_counts: Sequence[int]) -> None:
    """Return None, which mixes nothing.

    Args:
        class_counts: training images of each class; not used.
    """


def permute_natural(is_noise: Tensor, generator: torch.Generator) -> Tensor:
    """Permute the natural images of a batch among themselves, and the noise images among themselves.

    Args:
        is_noise: whether each image is noise, (N,), bool.
        generator: source of all randomness; N draws, on its own device.

    Returns:
        For each image the row of the image that takes its place, (N,), int64, on the device of ``is_noise``.

    Example:
        >>> permute_natural(torch.tensor([True, False, True, False]), torch.Generator().manual_seed(0)) % 2
        tensor([0, 1, 0, 1])
    """
    keys = torch.rand(len(is_noise), generator=generator, device=generator.device).to(is_noise.device)
    # Both list the natural rows first. No shape depends on their number, so the device is not waited for.
    in_order = torch.argsort(is_noise.long(), stable=True)
    shuffled = torch.argsort(keys + 2 * is_noise, stable=True)
    return torch.empty_like(in_order).scatter_(0, in_order, shuffled)


def draw_shares(number: int, alpha: float, generator: torch.Generator) -> Tensor:
    r"""Draw mixing weights from Beta(alpha, alpha).

    .. math:: \lambda = \frac12 + \frac{s}{2 \sqrt{1 + 1 / r}}, \quad
        r = (U^{-1/\alpha} - 1) \cos^2 2 \pi V, \quad s = \text{sign} \cos 2 \pi V

    for uniform U and V. The draws are exact up to the resolution of float32 around 1/2, about 6e-8.

    Args:
        number: number of draws, N.
        alpha: above 0.
        generator: source of all randomness; 2N draws.

    Returns:
        Mixing weights, (N,), float32 in [0, 1], on the generator's device.

    References:
        Devroye, "Random Variate Generation in One Line of Code", Winter Simulation Conference 1996.

    Example:
        >>> shares = draw_shares(100_000, 2.0, torch.Generator().manual_seed(0))
        >>> shares.mean(), shares.var()  # 1/2 and 1 / (8 alpha + 4)
        (tensor(0.50...), tensor(0.0499...))
    """
    # torch.distributions takes no generator; the private functions below it do, but some devices lack them.
    first, second = torch.rand((2, number), generator=generator, device=generator.device)
    cosine = torch.cos(2 * math.pi * second)
    ratio = torch.expm1(-torch.log1p(-first) / alpha) * cosine.square()  # 1 - first for U, as that is never 0
    return 0.5 + 0.5 * cosine.sign() * (1 + 1 / ratio).rsqrt()


class Mixing(nn.Module):
    """Mix each natural image with another of its batch.

    A random permutation of the natural images gives each its partner, which may be the image itself. Subclasses define
    the mixture.

    Args:
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0. The weights are uniform for
            1; the smaller ``alpha`` is, the more of them are near 0 or 1.
        probability: probability that an image is mixed, in [0, 1].

    Raises:
        InputError: for a value out of range.
    """

    def __init__(self, alpha: float, probability: float) -> None:
        super().__init__()
        self.alpha = check_real("alpha", alpha, 0)
        if self.alpha == 0:
            raise InputError("must be above 0; mixing=none mixes nothing", "alpha")
        self.probability = check_real("probability", probability, 0, 1)

    @torch.no_grad()
    def forward(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Mix the natural images of a batch.

        Args:
            batch: its images are (N, C, H, W), floating point in [0, 1].
            generator: source of all randomness, drawn on its own device.

        Returns:
            A new batch with mixed images; ``partners``, the labels of the images that were mixed in, (N,), int64; and
            ``shares``, the mixing weights, (N,), float32. An image that was not mixed has its own label in
            ``partners``, and weight 1.
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
        """Mix each pair of images; a mixing weight of 1 leaves the first as it is, bit for bit.

        Args:
            images: the first image of each pair, (N, C, H, W).
            others: the second image of each pair, (N, C, H, W).
            shares: drawn mixing weights of ``images``, (N,).
            generator: source of further draws.

        Returns:
            The mixtures, and the weights that ``images`` actually have in them, (N,).
        """

    def share_labels(self, shares: Tensor, targets: Tensor, partners: Tensor) -> Tensor:
        """Return the weights of the first labels; they are those of the images unless a subclass overrides this.

        Args:
            shares: weights of the first images in the mixtures, (N,).
            targets: labels of the first images, (N,), int64.
            partners: labels of the second images, (N,), int64.
        """
        return shares


class Mixup(Mixing):
    r"""Blend each natural image with another of its batch, and their labels likewise.

    .. math:: \tilde x_i = \lambda_i x_i + (1 - \lambda_i) x_j, \quad \lambda_i \sim \text{Beta}(\alpha, \alpha)

    Args:
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0.
        probability: probability that an image is mixed, in [0, 1].

    Raises:
        InputError: for a value out of range.

    References:
        Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018. In their code the
        images of a batch all have the same mixing weight.

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
        """Blend each pair of images by the mixing weights, see :meth:`Mixing.combine`."""
        return torch.lerp(others, images, shares.to(images.dtype)[:, None, None, None]), shares


def mixup(class_counts: Sequence[int], alpha: float = 1.0, probability: float = 1.0) -> Mixup:
    """Make a :class:`Mixup`.

    Args:
        class_counts: training images of each class; mixup does not use them.
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0.
        probability: probability that an image is mixed, in [0, 1].

    Raises:
        InputError: for a value out of range.

    Example:
        >>> mixup([10, 1], alpha=0.2).alpha
        0.2
    """
    return Mixup(alpha, probability)


class CutMix(Mixing):
    r"""Paste a box of another image of the batch into each natural image, at the same position.

    The box has :math:`\sqrt{1 - \lambda_i}` of the image's height and width, rounded down to even pixels, with
    :math:`\lambda_i \sim \text{Beta}(\alpha, \alpha)`, and its center is any pixel; parts outside are cut off.
    The first label's weight is the fraction of the pixels that remain.

    Args:
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0.
        probability: probability that an image is mixed, in [0, 1]; 1/2 in the authors' CIFAR runs.

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
        """Paste a box of the second image of each pair into the first, see :meth:`Mixing.combine`."""
        height, width = images.shape[-2:]
        rows, columns = (_side(size, shares, generator) for size in (height, width))
        area = rows.sum(1) * columns.sum(1)
        box = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(box, others, images), 1 - area / (height * width)


def cutmix(class_counts: Sequence[int], alpha: float = 1.0, probability: float = 0.5) -> CutMix:
    """Make a :class:`CutMix`.

    Args:
        class_counts: training images of each class; CutMix does not use them.
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0.
        probability: probability that an image is mixed, in [0, 1].

    Raises:
        InputError: for a value out of range.

    Example:
        >>> cutmix([10, 1]).probability
        0.5
    """
    return CutMix(alpha, probability)


def _side(size: int, shares: Tensor, generator: torch.Generator) -> Tensor:
    """Whether each image's box covers each row, or column, of its pixels, (N, size), bool."""
    half = (0.5 * size * (1 - shares).sqrt()).long()[:, None]
    center = torch.randint(size, shares.shape, generator=generator, device=generator.device).to(shares.device)[:, None]
    pixels = torch.arange(size, device=shares.device)
    return (pixels >= center - half) & (pixels < center + half)


class Remix(Mixup):
    r"""Mixup that can give the label to the rarer class alone if one of the two classes is much rarer.

    Images are those of :class:`Mixup`. Class i of an image has :math:`n_i` training images, class j of its partner
    :math:`n_j`. The image has weight :math:`\lambda` in the mixture, and its label has weight

    .. math::
        \lambda_y = \begin{cases}
            0 & n_i / n_j \ge \kappa \text{ and } \lambda < \tau \\
            1 & n_i / n_j \le 1 / \kappa \text{ and } 1 - \lambda < \tau \\
            \lambda & \text{otherwise}
        \end{cases}

    Args:
        class_counts: training images of each class, each at least 1, length K.
        alpha: parameter of the mixing weights, which come from Beta(alpha, alpha); above 0.
        kappa: a class is much more frequent than another if it has at least ``kappa`` times its images; at least 1.
        tau: the much more frequent class gets no part of the label if its weight in the image is below ``tau``, in
            [0, 1].

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
            raise InputError("must be a list with one number per class, each at least 1", "class_counts")
        self.register_buffer("class_counts", counts, persistent=False)
        self.kappa, self.tau = check_real("kappa", kappa, 1), check_real("tau", tau, 0, 1)

    def share_labels(self, shares: Tensor, targets: Tensor, partners: Tensor) -> Tensor:
        """Return the weights of the first labels, 1 or 0 for some pairs of classes, see :meth:`Mixing.share_labels`."""
        counts = self.class_counts.to(targets.device)
        own, other = counts[targets], counts[partners]
        # By products, as a quotient of exactly kappa may come out below it.
        to_partner = (own >= self.kappa * other) & (shares < self.tau)
        to_own = (self.kappa * own <= other) & (1 - shares < self.tau)
        return shares.masked_fill(to_own, 1).masked_fill(to_partner, 0)
