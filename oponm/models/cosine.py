"""The cosine classifier."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oponm.errors import InputError, check_int, check_real

_EPS = 1e-6  # minimum length of a vector: representable in half precision, and gradients at zero stay bounded


class CosineClassifier(nn.Module):
    """Logits by the angle only: ``scale * cos(x, w_k)`` for features x and the weight row w_k of class k.

    Neither the length of the features nor that of the weights counts, so a frequent class cannot win by a longer weight
    vector. The scale compensates that cosines are at most 1; it is fixed, and part of the logits: a loss must not scale
    them again. Zero features give zero logits and finite gradients.

    Args:
        in_features: length of the features.
        num_classes: number of outputs.
        scale: the largest logit.

    Raises:
        InputError: for sizes below 1 or a scale that is not a positive number.

    References:
        Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018, Sec. 3; as the
        normalized layer of Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        NeurIPS 2019, its initial weights uniform in [-1, 1] and then of length 1.

    Example:
        >>> classifier = CosineClassifier(8, 10, scale=30.0)
        >>> features = torch.randn(4, 8)
        >>> logits = classifier(features)
        >>> logits.shape, bool(logits.abs().max() <= 30)
        (torch.Size([4, 10]), True)
        >>> torch.allclose(classifier(100 * features), logits, atol=1e-4)
        True
    """

    def __init__(self, in_features: int, num_classes: int, scale: float = 30.0) -> None:
        super().__init__()
        self.in_features = check_int("in_features", in_features, minimum=1)
        self.out_features = check_int("num_classes", num_classes, minimum=1)
        self.scale = check_real("scale", scale, 0)
        if not self.scale:
            raise InputError("must be above 0: with 0 all logits are equal", "scale")
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights from the global generator."""
        nn.init.uniform_(self.weight, -1, 1)
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, num_classes) in [-scale, scale] of features (N, in_features)."""
        return self.scale * F.linear(F.normalize(features, dim=-1, eps=_EPS), F.normalize(self.weight, eps=_EPS))

    def extra_repr(self) -> str:
        """Sizes and scale."""
        return f"in_features={self.in_features}, out_features={self.out_features}, scale={self.scale:g}"
