"""Label-aware smoothing: labels of classes with more training images are smoothed more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import InputError, check_choice
from oponm.losses.checks import check_below_one, check_counts, check_positive
from oponm.losses.precision import at_least_float32

FORMS = ("concave", "linear", "convex", "exponential")


def smoothing_by_class(
    class_counts: Tensor,
    head: float = 0.3,
    tail: float = 0.0,
    form: str = "concave",
    power: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Return the label smoothing of each class: the part of its label that goes to the other classes.

    With :math:`f_j = (n_j - n_{\min}) / (n_{\max} - n_{\min})`, and 1 for all classes of balanced data,

    .. math:: \epsilon_j = \epsilon_{tail} + (\epsilon_{head} - \epsilon_{tail}) \, g(f_j), \quad
        g(f) = \sin \tfrac{\pi f}{2}, \; f, \; 1 + \sin\left(\tfrac{3 \pi}{2} + \tfrac{\pi f}{2}\right), \; f^p

    in the order of :data:`FORMS`; the exponential form is in the authors' code alone.

    Args:
        class_counts: training images of each class, (K,), each at least 1.
        head: smoothing of the most frequent class, in [0, 1).
        tail: smoothing of the rarest class, in [0, 1).
        form: one of :data:`FORMS`.
        power: p of the exponential form; None for the others.
        dtype: dtype of the result.

    Returns:
        Epsilon of each class, (K,), between ``tail`` and ``head``.

    References:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, Sec. 3.2.

    Example:
        >>> counts = torch.tensor([100, 50, 1])
        >>> smoothing_by_class(counts, head=0.4, tail=0.1, form="linear")
        tensor([0.4000, 0.2485, 0.1000])
    """
    counts = class_counts.to(dtype)
    spread = counts.max() - counts.min()
    share = torch.where(spread > 0, (counts - counts.min()) / spread.clamp_min(1), 1)
    if form == "concave":
        grown = torch.sin(math.pi / 2 * share)
    elif form == "convex":
        grown = 1 - torch.cos(math.pi / 2 * share)
    else:
        grown = share ** (1 if power is None else power)
    return tail + (head - tail) * grown


def label_aware_smoothing(logits: Tensor, targets: Tensor, smoothing: Tensor) -> Tensor:
    r"""Cross-entropy with label smoothing whose epsilon depends on the label's class.

    .. math:: \ell = -(1 - \epsilon_y) \log p_y - \frac{\epsilon_y}{K - 1} \sum_{j \ne y} \log p_j,
        \quad p = \mathrm{softmax}(z)

    The authors' code spreads epsilon over all classes, the target included: its epsilon is K / (K - 1) times this one.

    Args:
        logits: (N, K).
        targets: (N,), int64.
        smoothing: epsilon of each class, (K,), see :func:`smoothing_by_class`.

    Returns:
        Losses, (N,).

    References:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, Sec. 3.2.

    Example:
        >>> label_aware_smoothing(torch.tensor([[2.0, 0.0]]).expand(2, 2), torch.tensor([0, 1]), torch.tensor([0.3, 0]))
        tensor([0.7269, 2.1269])
    """
    log_p = F.log_softmax(at_least_float32(logits), dim=1)
    of_target = log_p.gather(1, targets[:, None]).squeeze(1)
    shares = smoothing.to(log_p.dtype)[targets]
    others = log_p.masked_fill(F.one_hot(targets, log_p.shape[1]).bool(), 0).sum(1)
    return -(1 - shares) * of_target - shares / max(log_p.shape[1] - 1, 1) * others


class LabelAwareSmoothing(nn.Module):
    """The loss of :func:`label_aware_smoothing`.

    Args:
        class_counts: training images of each class, length K.
        head: smoothing epsilon of the most frequent class, in [0, 1).
        tail: smoothing epsilon of the rarest class, in [0, 1).
        form: how epsilon grows with a class's number of images: ``"concave"``, ``"linear"``, ``"convex"`` or
            ``"exponential"``.
        power: exponent of the exponential form, above 0; None for the others.

    Raises:
        InputError: for a class without an image, an option out of range, or a power without the exponential form.

    Example:
        >>> LabelAwareSmoothing([100, 10])(torch.tensor([[2.0, 0.0]]).expand(2, 2), torch.tensor([0, 1]))
        tensor([0.7269, 2.1269])
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        head: float = 0.3,
        tail: float = 0.0,
        form: str = "concave",
        power: float | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.head, self.tail = check_below_one("head", head), check_below_one("tail", tail)
        self.form, self.power = check_choice("form", form, FORMS), power
        if (form == "exponential") != (power is not None):
            raise InputError("is the exponent of form=exponential: give both or neither", "power")
        if power is not None:
            self.power = check_positive("power", power)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        dtype = at_least_float32(logits).dtype
        shares = smoothing_by_class(self.class_counts, self.head, self.tail, self.form, self.power, dtype)
        return label_aware_smoothing(logits, targets, shares)
