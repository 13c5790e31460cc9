from __future__ import annotations

import numpy as np
import pytest

from oponm.errors import InputError
from oponm.longtail import exponential_counts, fit_counts, step_counts

PROFILES = {"exponential": exponential_counts, "step": step_counts}


# CIFAR-100-LT, class by class, by imbalance ratio.
CIFAR100 = {
    100: """
        500 477 455 434 415 396 378 361 344 328 314 299 286 273 260 248 237 226 216 206 197 188 179 171 163
        156 149 142 135 129 123 118 112 107 102 98 93 89 85 81 77 74 70 67 64 61 58 56 53 51
        48 46 44 42 40 38 36 35 33 32 30 29 27 26 25 24 23 22 21 20 19 18 17 16 15
        15 14 13 13 12 12 11 11 10 10 9 9 8 8 7 7 7 6 6 6 6 5 5 5 5
    """,
    50: """
        500 480 462 444 426 410 394 379 364 350 336 323 311 299 287 276 265 255 245 235 226 218 209 201 193
        186 178 172 165 158 152 146 141 135 130 125 120 115 111 107 102 98 95 91 87 84 81 78 75 72
        69 66 64 61 59 56 54 52 50 48 46 44 43 41 39 38 36 35 34 32 31 30 29 27 26
        25 24 23 22 22 21 20 19 18 18 17 16 16 15 14 14 13 13 12 12 11 11 10 10 10
    """,
}


def exact_exponential(n_max: int, num_classes: int, imbalance_ratio: int) -> list[int]:
    """The largest n with n^(C-1) * IR^i <= n_max^(C-1), in whole numbers."""
    steps = num_classes - 1
    counts = []
    for i in range(num_classes):
        low, high = 0, n_max
        while low < high:
            middle = (low + high + 1) // 2
            if middle**steps * imbalance_ratio**i <= n_max**steps:
                low = middle
            else:
                high = middle - 1
        counts.append(low)
    return counts


@pytest.mark.parametrize("imbalance_ratio", CIFAR100)
def test_the_published_cifar100_profile(imbalance_ratio):
    assert exponential_counts(500, 100, imbalance_ratio) == [int(count) for count in CIFAR100[imbalance_ratio].split()]


def test_the_published_cifar10_profile():
    assert exponential_counts(5000, 10, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.mark.parametrize(
    ("n_max", "num_classes", "imbalance_ratio", "total"),
    [(5000, 10, 100, 12_406), (5000, 10, 50, 13_996), (500, 100, 100, 10_847), (500, 100, 50, 12_608)],
)
def test_the_published_totals(n_max, num_classes, imbalance_ratio, total):
    assert sum(exponential_counts(n_max, num_classes, imbalance_ratio)) == total


@pytest.mark.parametrize("imbalance_ratio", [1, 2, 5, 10, 20, 50, 100, 200, 256])
@pytest.mark.parametrize(("n_max", "num_classes"), [(5000, 10), (500, 100), (1280, 200), (200, 2)])
def test_the_exponential_profile_is_the_formula_in_whole_numbers(n_max, num_classes, imbalance_ratio):
    if n_max < imbalance_ratio:
        with pytest.raises(InputError, match="without an image"):
            exponential_counts(n_max, num_classes, imbalance_ratio)
    else:
        expected = exact_exponential(n_max, num_classes, imbalance_ratio)
        assert exponential_counts(n_max, num_classes, imbalance_ratio) == expected


@pytest.mark.parametrize(("n_max", "imbalance_ratio"), [(49, 49), (98, 49), (98, 98), (1000, 125), (206, 103)])
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_a_tail_that_divides_evenly_loses_no_image_to_rounding(n_max, num_classes, imbalance_ratio):
    expected = exact_exponential(n_max, num_classes, imbalance_ratio)
    assert expected[-1] == n_max // imbalance_ratio
    assert exponential_counts(n_max, num_classes, imbalance_ratio) == expected
    assert step_counts(n_max, num_classes, imbalance_ratio)[-1] == n_max // imbalance_ratio


@pytest.mark.parametrize("imbalance_ratio", [1, 2, 10, 32.5, 100])
@pytest.mark.parametrize("num_classes", [2, 9, 10, 100])
def test_the_step_profile(num_classes, imbalance_ratio):
    counts = step_counts(5000, num_classes, imbalance_ratio)
    head = num_classes // 2
    assert counts == [5000] * head + [int(5000 // imbalance_ratio)] * (num_classes - head)


@pytest.mark.parametrize("counts", PROFILES.values(), ids=PROFILES.keys())
@pytest.mark.parametrize("imbalance_ratio", [1, 1.5, 7, 100, 499.5])
def test_a_profile_falls_from_its_head(counts, imbalance_ratio):
    result = counts(500, 20, imbalance_ratio)
    assert len(result) == 20
    assert result[0] == 500
    assert result == sorted(result, reverse=True)
    assert min(result) >= 1
    assert all(type(count) is int for count in result)


@pytest.mark.parametrize("counts", PROFILES.values(), ids=PROFILES.keys())
def test_a_ratio_of_one_is_the_balanced_set(counts):
    assert counts(7, 5, 1) == [7] * 5


@pytest.mark.parametrize("counts", PROFILES.values(), ids=PROFILES.keys())
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 10, 100), "n_max must be a whole number of at least 1, got 0"),
        ((-5, 10, 100), "n_max must be"),
        ((5000.0, 10, 100), "n_max must be"),
        ((True, 10, 1), "n_max must be"),
        ((5000, 1, 100), "num_classes must be a whole number of at least 2, got 1"),
        ((5000, 2.0, 100), "num_classes must be"),
        ((5000, 10, 0.99), "imbalance_ratio must be a number of at least 1, got 0.99"),
        ((5000, 10, -100), "imbalance_ratio must be"),
        ((5000, 10, "100"), "imbalance_ratio must be"),
        ((5000, 10, float("inf")), "imbalance_ratio must be"),
        ((5000, 10, float("nan")), "imbalance_ratio must be"),
        ((50, 10, 51), "imbalance_ratio of 51 leaves the smallest class without an image.*it can be 50 at most"),
    ],
    ids=str,
)
def test_bad_input(counts, arguments, words):
    with pytest.raises(InputError, match=words):
        counts(*arguments)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("imbalance_ratio", [1, 3, 10, 100])
@pytest.mark.parametrize("available", [[5000] * 10, [500] * 100, [101, 101]], ids=lambda sizes: f"{len(sizes)} classes")
def test_on_a_balanced_set_the_fit_is_the_profile_itself(available, imbalance_ratio, profile):
    expected = PROFILES[profile](available[0], len(available), imbalance_ratio)
    assert fit_counts(available, imbalance_ratio, profile) == expected


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("imbalance_ratio", [1, 2.5, 10, 50])
@pytest.mark.parametrize("seed", range(12))
def test_a_fit_stays_within_what_is_there_and_cannot_grow(profile, imbalance_ratio, seed):
    generator = np.random.default_rng(seed)
    num_classes = int(generator.integers(2, 30))
    available = generator.integers(60, 2000, num_classes).tolist()
    counts = fit_counts(available, imbalance_ratio, profile)
    assert counts == PROFILES[profile](counts[0], num_classes, imbalance_ratio)
    assert all(count <= there for count, there in zip(counts, available, strict=True))
    larger = PROFILES[profile](counts[0] + 1, num_classes, imbalance_ratio)
    assert any(count > there for count, there in zip(larger, available, strict=True))


@pytest.mark.parametrize(
    ("available", "imbalance_ratio", "profile", "expected"),
    [
        ([500, 20, 100], 10, "exponential", [66, 20, 6]),
        ([30, 1000, 1000], 10, "exponential", [30, 9, 3]),
        ([1000, 1000, 3], 10, "exponential", [39, 12, 3]),
        ([1000, 1000, 3, 3], 10, "step", [39, 39, 3, 3]),
        ([7, 1000, 1000], 7, "step", [7, 1, 1]),
        ([4, 9], 1, "exponential", [4, 4]),
    ],
)
def test_an_unbalanced_set(available, imbalance_ratio, profile, expected):
    assert fit_counts(available, imbalance_ratio, profile) == expected


@pytest.mark.parametrize(
    ("available", "imbalance_ratio", "profile", "words"),
    [
        ([100, 100], 10, "linear", "profile must be one of exponential, step, got 'linear'"),
        ([100, 100], 0.5, "exponential", "imbalance_ratio must be"),
        ([100], 10, "exponential", "num_classes must be"),
        ([], 10, "exponential", "num_classes must be"),
        ([9, 100, 100], 10, "exponential", "without an image"),
        ([100, 100, 0], 10, "exponential", "without an image"),
        ([100, 0, 0], 10, "step", "without an image"),
        ([0, 100, 100], 10, "exponential", "without an image"),
        pytest.param([0, 5], 1, "exponential", "image", id="an empty class, ratio 1"),
        pytest.param([5, 0], 1, "step", "image", id="an empty class, ratio 1, step"),
    ],
)
def test_a_fit_that_cannot_be(available, imbalance_ratio, profile, words):
    with pytest.raises(InputError, match=words):
        fit_counts(available, imbalance_ratio, profile)
