"""Gaussian clouded logits (GCL): noise lowers the logits in training, those of rare classes most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import check_real
from oponm.losses.checks import check_counts, check_positive
from oponm.losses.precision import at_least_float32


def cloud_sizes(class_counts: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""Return the factor of each class's noise: 0 for the most frequent class, 1 for the rarest.

    .. math:: \delta_j = \frac{\log n_{\max} - \log n_j}{\log n_{\max} - \log n_{\min}}

    Args:
        class_counts: training images of each class, (K,), each at least 1.
        dtype: dtype of the factors.

    Returns:
        Factors delta, (K,), in [0, 1]; all 0 for balanced data.

    References:
        Li et al., "Long-tailed Visual Recognition via Gaussian Clouded Logit Adjustment", CVPR 2022; divided by the
        largest as in the authors' code.

    Example:
        >>> cloud_sizes(torch.tensor([1000, 100, 10]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    logs = class_counts.to(dtype).log()
    sizes = logs.max() - logs
    return torch.where(sizes.max() > 0, sizes / sizes.max(), 0)


def gcl(
    logits: Tensor,
    targets: Tensor,
    class_counts: Tensor,
    noise: Tensor,
    amplitude: float = 0.5,
    margin: float = 0.0,
    scale: float = 30.0,
) -> Tensor:
    r"""Cross-entropy after each cosine is lowered by the absolute value of noise, more for rarer classes.

    .. math:: \ell = -\log \frac{e^{s (c_y - a \delta_y |\varepsilon_y| - m)}}
        {e^{s (c_y - a \delta_y |\varepsilon_y| - m)} + \sum_{j \ne y} e^{s (c_j - a \delta_j |\varepsilon_j|)}}

    The factors :math:`\delta` are those of :func:`cloud_sizes`. The logits include the scale, z = s c, as those of
    :func:`~oponm.losses.ldam`. The cosines of all classes are lowered, not that of the target alone.

    Args:
        logits: (N, K), in [-scale, scale].
        targets: (N,), int64.
        class_counts: training images of each class, (K,), each at least 1.
        noise: epsilon, (N, K).
        amplitude: a, the amount by which noise of size 1 lowers the cosine of the rarest class, at least 0.
        margin: m, the amount by which the cosine of the target is lowered in addition, at least 0.
        scale: s, the classifier's scale.

    Returns:
        Losses, (N,).

    References:
        Li et al., "Long-tailed Visual Recognition via Gaussian Clouded Logit Adjustment", CVPR 2022; amplitude and
        margin as in the authors' code.

    Example:
        >>> logits, noise = torch.zeros(2, 2), torch.tensor([[0.1, -0.1], [0.1, -0.1]])
        >>> gcl(logits, torch.tensor([0, 1]), torch.tensor([100, 10]), noise, scale=10.0)
        tensor([0.4741, 0.9741])
    """
    logits = at_least_float32(logits)
    lowered = amplitude * cloud_sizes(class_counts, logits.dtype) * noise.to(logits.dtype).abs()
    lowered = lowered + margin * F.one_hot(targets, logits.shape[1]).to(logits.dtype)
    return F.cross_entropy(logits - scale * lowered, targets, reduction="none")


class GCL(nn.Module):
    """The loss of :func:`gcl`, for logits of a cosine classifier (``head=cosine``).

    The noise is normal with a standard deviation of 1/3, clipped to [-1, 1], for each row and class; it is drawn from
    torch's generator of the logits' device.

    Args:
        class_counts: training images of each class, length K.
        amplitude: the largest amount by which noise lowers the cosine of the rarest class, at least 0.
        margin: the amount by which the cosine of the target is lowered in addition, at least 0.
        scale: scale of the cosine classifier, above 0.

    Raises:
        InputError: for a class without an image, or an option out of range.

    Example:
        >>> GCL([100, 10], amplitude=0)(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor([0.6931, 0.6931])
    """

    class_counts: Tensor

    def __init__(
        self, class_counts: Sequence[int], amplitude: float = 0.5, margin: float = 0.0, scale: float = 30.0
    ) -> None:
        super().__init__()
        self.register_buffer("class_counts", check_counts(class_counts), persistent=False)
        self.amplitude, self.margin = check_real("amplitude", amplitude, 0), check_real("margin", margin, 0)
        self.scale = check_positive("scale", scale)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return losses (N,) of logits (N, K) and targets (N,)."""
        dtype = at_least_float32(logits).dtype
        noise = (torch.randn(logits.shape, dtype=dtype, device=logits.device) / 3).clamp(-1, 1)
        return gcl(logits, targets, self.class_counts, noise, self.amplitude, self.margin, self.scale)
