"""The probability that an image of a class becomes noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.errors import InputError, check_real


def noise_probability(class_counts: Sequence[int] | Tensor, delta: float) -> Tensor:
    r"""Return the probability with which OPeN replaces a drawn image of class i by noise.

    .. math:: p_i = (1 - n_i / n_{max}) \cdot \delta

    The largest class gets no noise; the rarer the class, the nearer its probability is to ``delta``.

    Args:
        class_counts: training images of each class, each at least 1, length C.
        delta: the probability that the rarest classes approach, in [0, 1]; the paper uses 1/3 throughout.

    Returns:
        Probabilities, shape (C,), float32.

    Raises:
        InputError: for a delta outside [0, 1], or a class without an image.

    References:
        Zada, Benou, Irani, "Pure Noise to the Rescue of Insufficient Data", ICML 2022, Sec. 3.

    Example:
        >>> noise_probability([100, 50, 10], delta=0.5)
        tensor([0.0000, 0.2500, 0.4500])
    """
    check_real("delta", delta, 0, 1)
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if counts.ndim != 1 or counts.numel() == 0 or not bool((counts.isfinite() & (counts >= 1)).all()):
        raise InputError("must be a list of numbers, one for each class, none below 1", "class_counts")
    return ((1 - counts / counts.max()) * delta).float()
