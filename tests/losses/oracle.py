"""The losses written down a second time: the papers' formulas row by row, in NumPy's float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def softmax(logits: Array) -> Array:
    return np.exp(logits) / np.exp(logits).sum()


def cross_entropy(logits: Array, target: int, counts: Array, label_smoothing: float = 0.0) -> float:
    smoothed = np.full(len(logits), label_smoothing / len(logits))
    smoothed[target] += 1 - label_smoothing
    return float(-(smoothed * np.log(softmax(logits))).sum())


def focal(logits: Array, target: int, counts: Array, gamma: float = 2.0) -> float:
    p = softmax(logits)[target]
    return float(-((1 - p) ** gamma) * np.log(p))


def ldam(logits: Array, target: int, counts: Array, max_margin: float = 0.5, scale: float = 30.0) -> float:
    margins = counts**-0.25
    margins *= max_margin / margins.max()
    cosines = logits / scale
    cosines[target] -= margins[target]
    return float(-np.log(softmax(scale * cosines)[target]))


def balanced_softmax(logits: Array, target: int, counts: Array) -> float:
    return float(-np.log(counts[target] * np.exp(logits[target]) / (counts * np.exp(logits)).sum()))


def logit_adjustment(logits: Array, target: int, counts: Array, tau: float = 1.0) -> float:
    priors = (counts / counts.sum()) ** tau
    return float(-np.log(priors[target] * np.exp(logits[target]) / (priors * np.exp(logits)).sum()))
