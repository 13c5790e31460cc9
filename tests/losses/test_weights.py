from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.losses import WEIGHTS, class_weights
from tests.losses.batches import COUNTS


def normalized(weights: list[Fraction]) -> torch.Tensor:
    return torch.tensor([float(weight * len(weights) / sum(weights)) for weight in weights])


def test_no_weights():
    assert class_weights(COUNTS) is None
    assert class_weights(COUNTS, "none") is None


@pytest.mark.parametrize("counts", [COUNTS, [7, 7, 7], [1, 10**7], [3]], ids=str)
def test_inverse_frequency(counts):
    weights = class_weights(counts, "inverse_frequency")
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, normalized([Fraction(1, count) for count in counts]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("beta", [0, 0.5, 0.9, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-9, 1 - 2**-53])
@pytest.mark.parametrize("counts", [COUNTS, [7, 7, 7], [1, 2, 1000], [3]], ids=str)
def test_effective_number(counts, beta):
    exact = Fraction(beta)
    expected = normalized([(1 - exact) / (1 - exact**count) for count in counts])
    torch.testing.assert_close(class_weights(counts, "effective_number", beta), expected, rtol=1e-6, atol=0)


def test_beta_0_weighs_all_classes_alike():
    assert class_weights(COUNTS, "effective_number", 0).tolist() == [1] * 5


def test_beta_goes_to_inverse_frequency():
    weights = class_weights([1, 10**7], "effective_number", 1 - 2**-53)
    torch.testing.assert_close(weights, class_weights([1, 10**7], "inverse_frequency"), rtol=1e-6, atol=0)


@pytest.mark.parametrize("beta", [0, 0.9999, 1 - 1e-12])
@pytest.mark.parametrize("kind", WEIGHTS[1:])
def test_the_weights_of_any_counts_are_finite_and_sum_to_the_number_of_classes(kind, beta):
    weights = class_weights([10**exponent for exponent in range(8)], kind, beta)
    assert weights.isfinite().all()
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(8)
    assert weights.tolist() == sorted(weights.tolist(), reverse=True)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_container_does_not_matter(dtype):
    weights = class_weights(np.array(COUNTS, dtype=dtype), "effective_number")
    assert torch.equal(weights, class_weights(COUNTS, "effective_number"))


@pytest.mark.parametrize(
    ("counts", "kind", "beta", "key"),
    [
        (COUNTS, "inverse", 0.9, "class_weights"),
        (COUNTS, "effective_number", 1, "beta"),
        (COUNTS, "effective_number", -0.1, "beta"),
        (COUNTS, "effective_number", float("nan"), "beta"),
        ([5, 0], "effective_number", 0.9, "class_counts"),
        ([5, 0], "inverse_frequency", 0.9, "class_counts"),
    ],
)
def test_what_cannot_be_used_is_refused(counts, kind, beta, key):
    with pytest.raises(InputError, match=f"^{key} must ") as error:
        class_weights(counts, kind, beta)
    assert error.value.key == key
