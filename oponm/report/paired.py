"""Paired differences over equal seeds: mean, confidence interval, test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean paired difference; unknown values are NaN.

    Attributes:
        n: number of pairs.
        mean: mean of the differences.
        low: lower end of the 95 % confidence interval.
        high: upper end of the interval.
        p: p-value of the two-sided paired t-test that the mean is zero.
    """

    n: int
    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")


def paired_difference(values: Mapping[Any, float], baseline: Mapping[Any, float]) -> Difference:
    """Compare two groups of runs seed by seed: effects of a seed on both (initial weights, order of images) cancel.

    With differences d_1 ... d_n over the common seeds, the mean is m = sum(d_i) / n, the interval is
    m ± t_{0.975, n-1} s / sqrt(n) with the sample deviation s, and p is that of Student's paired t-test.

    Args:
        values: a metric by seed, or by seed and fold.
        baseline: the same metric of the group to compare with.

    Returns:
        The difference. There is no interval for fewer than two pairs, nor for equal differences, whose deviation of
        zero means that the metric is coarse, not that the difference is certain.

    Example:
        >>> difference = paired_difference({0: 0.5, 1: 0.7, 2: 0.9}, {0: 0.4, 1: 0.5, 2: 0.6, 3: 0.1})
        >>> difference.n, round(difference.mean, 3), round(difference.low, 3), round(difference.p, 3)
        (3, 0.2, -0.048, 0.074)
    """
    from scipy import stats

    shared = [seed for seed in values if seed in baseline]
    differences = np.array([values[seed] - baseline[seed] for seed in shared])
    n = len(differences)
    if n == 0:
        return Difference(0)
    mean = float(differences.mean())
    if n == 1 or not np.ptp(differences) > 1e-9:  # equal but for rounding, or NaN
        return Difference(n, mean)
    tested = stats.ttest_1samp(differences, 0.0)
    interval = tested.confidence_interval(CONFIDENCE)
    return Difference(n, mean, float(interval.low), float(interval.high), float(tested.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number: p_(i) becomes max_{j <= i} min(1, (m - j + 1) p_(j)).

    Args:
        p_values: p-values of m tests; NaN means no test, and stays NaN.

    References:
        Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm([0.01, 0.04, float("nan"), 0.03])
        [0.03, 0.06, nan, 0.06]
    """
    values = np.array(p_values, dtype=float)
    order = [place for place in np.argsort(values, kind="stable") if not np.isnan(values[place])]
    factors = np.arange(len(order), 0, -1)
    values[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return [float(value) for value in values]
