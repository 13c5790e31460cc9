"""Reduces the losses of rows to the loss of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from oponm.errors import InputError
from oponm.losses.precision import at_least_float32


def batch_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    partners: Tensor | None = None,
    shares: Tensor | None = None,
    is_noise: Tensor | None = None,
    noise_weight: float = 1.0,
) -> Tensor:
    r"""The mean loss over a batch, each row weighted by its class, and noise rows also by a factor.

    .. math:: \frac{\sum_i w_{t_i} \ell_i(t_i)}{\sum_i w_{t_i}}, \quad \text{of mixed images} \quad
        \frac{\sum_i s_i w_{t_i} \ell_i(t_i) + (1 - s_i) w_{p_i} \ell_i(p_i)}{\sum_i s_i w_{t_i} + (1 - s_i) w_{p_i}}

    The weights w of noise rows are those of their classes times ``noise_weight`` v. A batch in which all rows have
    weight 0 (only noise rows, v = 0) has loss and gradient 0.

    For unmixed images and v = 1 it equals torch's mean: with :class:`~oponm.losses.CrossEntropy`, loss and gradient are
    those of ``F.cross_entropy(logits, targets, weight)`` to the last bit.

    Args:
        loss: a function of logits (N, K) and targets (N,) that returns losses (N,).
        logits: (N, K); half precision is raised to float32.
        targets: (N,), int64: t.
        weight: (K,), above 0: w, see :func:`~oponm.losses.class_weights`; None weighs all classes equally.
        partners: (N,), int64: p, the second labels of mixed images; None if no image is mixed.
        shares: (N,), in [0, 1]: s, the mixing weight of the first label; None if ``partners`` is None.
        is_noise: (N,), bool; None if all rows are natural.
        noise_weight: v, at least 0.

    Returns:
        A scalar, float32, or float64 for float64 logits.

    Raises:
        InputError: if only one of ``partners`` and ``shares`` is given.

    References:
        Mixed images: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, Eq. 1.

    Example:
        >>> from oponm.losses import CrossEntropy
        >>> logits, targets = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
        >>> batch_loss(CrossEntropy([90, 10]), logits, targets, weight=torch.tensor([0.2, 1.8]))
        tensor(1.9835)
        >>> shares = torch.tensor([0.5, 0.0])
        >>> batch_loss(CrossEntropy([90, 10]), logits, targets, partners=targets.flip(0), shares=shares)
        tensor(0.4100)
        >>> noise = torch.tensor([False, True])
        >>> batch_loss(CrossEntropy([90, 10]), logits, targets, is_noise=noise, noise_weight=0.0)
        tensor(0.6931)
    """
    logits = at_least_float32(logits)
    if partners is None and shares is None and (is_noise is None or noise_weight == 1):
        # nll_loss selects each row's loss again and takes the mean as torch's cross-entropy does, in the same order of
        # summation; Tensor.mean differs from it in the last digits.
        rows = (-loss(logits, targets))[:, None].expand(logits.shape)
        return F.nll_loss(rows, targets, None if weight is None else weight.to(rows.dtype))
    weights = row_weights(targets, weight, partners, shares, is_noise, noise_weight)
    losses = loss(logits, targets) if partners is None else torch.cat([loss(logits, targets), loss(logits, partners)])
    weights = weights.to(losses.dtype)
    total = weights.sum()
    if is_noise is not None and noise_weight == 0:
        total = torch.where(total > 0, total, 1)
    return (weights * losses).sum() / total


def row_weights(
    targets: Tensor,
    weight: Tensor | None = None,
    partners: Tensor | None = None,
    shares: Tensor | None = None,
    is_noise: Tensor | None = None,
    noise_weight: float = 1.0,
) -> Tensor:
    """The weight of each row in :func:`batch_loss`.

    Args:
        targets: (N,), class indices.
        weight: (C,), weight of each class; None for 1.
        partners: (N,), second labels of mixed images; None if no image is mixed.
        shares: (N,), mixing weight of the first label, in [0, 1]; None if ``partners`` is None.
        is_noise: (N,), bool; None if all rows are natural.
        noise_weight: factor of noise rows, at least 0.

    Returns:
        (N,); for mixed images (2N,), the weights of the first labels before those of the second.

    Raises:
        InputError: if only one of ``partners`` and ``shares`` is given.

    Example:
        >>> targets, noise = torch.tensor([0, 1, 1]), torch.tensor([False, False, True])
        >>> row_weights(targets, torch.tensor([0.5, 2.0]), is_noise=noise, noise_weight=0.25)
        tensor([0.5000, 2.0000, 0.5000])
    """
    if (partners is None) != (shares is None):
        raise InputError("partners and shares go together: give both or neither")
    labels, weights = targets, torch.ones(len(targets), device=targets.device)
    if partners is not None and shares is not None:
        labels, weights = torch.cat([targets, partners]), torch.cat([shares, 1 - shares])
    if weight is not None:
        weights = weights * weight[labels]
    if is_noise is not None and noise_weight != 1:
        weights = weights * torch.where(is_noise, noise_weight, 1.0).repeat(len(labels) // len(targets))
    return weights
