from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from oponm.report.paired import holm, paired_difference


def by_seed(values) -> dict[int, float]:
    return dict(enumerate(values))


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_it_is_the_textbook_s(n):
    random = np.random.default_rng(n)
    one, other = random.normal(0.7, 0.02, n), random.normal(0.68, 0.02, n)
    found = paired_difference(by_seed(one), by_seed(other))
    spread = np.std(one - other, ddof=1) / math.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * spread
    assert found.n == n
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert (found.low, found.high) == (pytest.approx(found.mean - half), pytest.approx(found.mean + half))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.mean / spread), n - 1))


def test_the_test_and_the_interval_agree():
    random = np.random.default_rng(0)
    for _ in range(200):
        found = paired_difference(by_seed(random.normal(0.6, 1, 4)), by_seed(np.zeros(4)))
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_pairs_are_those_of_equal_seeds_in_any_order():
    one, other = {3: 0.9, 1: 0.5, 7: 0.1}, {1: 0.4, 2: 0.0, 3: 0.7}
    found = paired_difference(one, other)
    assert found == paired_difference({1: 0.5, 3: 0.9}, {3: 0.7, 1: 0.4})
    assert (found.n, found.mean) == (2, pytest.approx(0.15))


def test_what_seeds_share_cancels():
    shared = np.linspace(0, 0.5, 5)
    gained = np.array([0.01, 0.02, 0.01, 0.02, 0.015])
    found = paired_difference(by_seed(shared + gained), by_seed(shared))
    assert found.p < 0.01


@pytest.mark.parametrize(("one", "other", "n"), [({}, {}, 0), ({0: 0.5}, {1: 0.5}, 0), ({0: 0.5}, {0: 0.4}, 1)])
def test_fewer_than_two_pairs_have_no_interval(one, other, n):
    found = paired_difference(one, other)
    assert found.n == n
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))
    assert math.isnan(found.mean) == (n == 0)


@pytest.mark.parametrize("shift", [0.0, 0.1, -0.25])
def test_differences_without_spread_have_no_interval(shift):
    values = np.array([0.71, 0.81, 0.84])  # 0.71 + 0.1 - 0.71 is not 0.81 + 0.1 - 0.81 in floating point
    found = paired_difference(by_seed(values + shift), by_seed(values))
    assert found.mean == pytest.approx(shift)
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))


def test_what_is_not_known_stays_unknown():
    found = paired_difference({0: math.nan, 1: 0.5, 2: 0.7}, {0: 0.5, 1: 0.4, 2: 0.5})
    assert math.isnan(found.mean)
    assert math.isnan(found.p)


def test_holm_by_hand():
    assert holm([0.01, 0.005, 0.03, 0.04]) == pytest.approx([0.03, 0.02, 0.06, 0.06])


def test_holm_keeps_order_and_bounds():
    random = np.random.default_rng(0)
    raw = random.random(30) ** 3
    adjusted = np.array(holm(raw))
    assert (adjusted >= raw).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()


def test_what_was_not_tested_does_not_count():
    assert holm([0.02, math.nan, 0.04])[::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(holm([0.02, math.nan])[1])
    assert holm([]) == []


def test_holm_bounds_the_chance_of_any_false_finding():
    random = np.random.default_rng(0)
    found = [min(holm(random.random(10))) < 0.05 for _ in range(2000)]
    assert 0.03 < np.mean(found) < 0.07
