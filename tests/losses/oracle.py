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


def label_aware_smoothing(
    logits: Array,
    target: int,
    counts: Array,
    head: float = 0.3,
    tail: float = 0.0,
    form: str = "concave",
    power: float = 1.0,
) -> float:
    most, least, here = counts.max(), counts.min(), counts[target]
    angle = np.pi * (here - least) / (2 * (most - least))
    epsilon = {
        "concave": tail + (head - tail) * np.sin(angle),
        "linear": tail + (head - tail) * (here - least) / (most - least),
        "convex": head + (head - tail) * np.sin(1.5 * np.pi + angle),
        "exponential": tail + (head - tail) * ((here - least) / (most - least)) ** power,
    }[form]
    label = np.full(len(logits), epsilon / (len(logits) - 1))
    label[target] = 1 - epsilon
    return float(-(label * np.log(softmax(logits))).sum())


def vector_scaling(logits: Array, target: int, counts: Array, gamma: float = 0.2, tau: float = 1.2) -> float:
    deltas, iotas = (counts / counts.max()) ** gamma, tau * np.log(counts / counts.sum())
    others = [
        np.exp(iotas[j] - iotas[target]) * np.exp(deltas[j] * logits[j] - deltas[target] * logits[target])
        for j in range(len(logits))
        if j != target
    ]
    return float(np.log(1 + sum(others)))


def cdt(logits: Array, target: int, counts: Array, gamma: float = 0.2) -> float:
    divided = np.exp(logits / (counts.max() / counts) ** gamma)
    return float(-np.log(divided[target] / divided.sum()))


def influence_balanced(
    logits: Array,
    target: int,
    counts: Array,
    alpha: float = 1000.0,
    epsilon: float = 1e-3,
    features: Array = np.ones(1),  # noqa: B008
) -> float:
    """By the gradient itself: of cross-entropy in the classifier's weights, (K, features)."""
    unit = np.zeros(len(logits))
    unit[target] = 1
    gradient = np.outer(softmax(logits) - unit, features)
    weight = alpha * len(counts) / counts[target] / (1 / counts).sum()
    return float(weight * -np.log(softmax(logits)[target]) / (np.abs(gradient).sum() + epsilon))


def gcl(
    logits: Array, target: int, counts: Array, noise: Array, amplitude: float, margin: float, scale: float
) -> float:
    cosines = logits / scale
    clouds = (np.log(counts.max()) - np.log(counts)) / (np.log(counts.max()) - np.log(counts.min()))
    clouded = cosines - amplitude * clouds * np.abs(noise)
    clouded[target] -= margin
    return float(-np.log(softmax(scale * clouded)[target]))


def equalization(logits: Array, target: int, counts: Array, beta: Array, threshold: float) -> float:
    weights = np.ones(len(logits))
    for k in range(len(logits)):
        rare, is_target = counts[k] / counts.sum() < threshold, k == target
        weights[k] = 1 - beta[k] * rare * (1 - is_target)
    return float(-np.log(np.exp(logits[target]) / (weights * np.exp(logits)).sum()))


def lade(logits: Array, targets: list[int], counts: Array, alpha: float, regularization: float) -> float:
    """The loss of the whole batch."""
    priors, total = counts / counts.sum(), 0.0
    for c in range(len(counts)):
        own = [row[c] for row, target in zip(logits, targets, strict=True) if target == c]
        first = sum(own) / len(own) if own else 0.0
        weighed = [np.exp(row[c]) / len(counts) / priors[y] for row, y in zip(logits, targets, strict=True)]
        term = np.log(np.mean(weighed))
        total -= priors[c] * (first - term - regularization * term**2)
    compensated = [balanced_softmax(row, target, counts) for row, target in zip(logits, targets, strict=True)]
    return float(np.mean(compensated) + alpha * total)


def logit_adjustment(logits: Array, target: int, counts: Array, tau: float = 1.0) -> float:
    priors = (counts / counts.sum()) ** tau
    return float(-np.log(priors[target] * np.exp(logits[target]) / (priors * np.exp(logits)).sum()))
