from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from oponm.errors import InputError
from oponm.models import CosineClassifier


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_logits_are_scaled_cosines(scale):
    classifier, features = CosineClassifier(5, 3, scale).double(), torch.randn(4, 5, dtype=torch.float64)
    with torch.no_grad():
        classifier.weight.mul_(torch.tensor([[0.1], [1.0], [7.0]]))
    expected = [[scale * F.cosine_similarity(x, w, dim=0) for w in classifier.weight.detach()] for x in features]
    torch.testing.assert_close(classifier(features), torch.tensor(expected, dtype=torch.float64))


def test_gradients():
    classifier, features = CosineClassifier(5, 3).double(), torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, weight: torch.func.functional_call(classifier, {"weight": weight}, x), (features, classifier.weight)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_zero_features_give_zero_logits_and_finite_gradients(dtype):
    classifier = CosineClassifier(8, 3, scale=0.01).to(dtype)
    features = torch.zeros(2, 8, dtype=dtype, requires_grad=True)
    logits = classifier(features)
    logits.sum().backward()
    assert torch.equal(logits, torch.zeros(2, 3, dtype=dtype))
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(classifier.weight.grad).all()


def test_initial_weights_have_length_one_and_come_from_the_global_generator():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(CosineClassifier(400, 50).weight.detach())
    torch.testing.assert_close(states[0].norm(dim=1), torch.ones(50))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    # Uniform, not normal: over sqrt(variance) no entry is beyond sqrt(3), but for the length's own fluctuation.
    assert 1.6 < states[0].abs().max() * 20 < 2.0


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), float("nan"), "30", None])
def test_a_scale_has_to_be_positive(scale):
    with pytest.raises(InputError, match="scale must") as error:
        CosineClassifier(4, 2, scale)
    assert error.value.key == "scale"


@pytest.mark.parametrize(("sizes", "key"), [((0, 2), "in_features"), ((4, 0), "num_classes")])
def test_sizes_have_to_be_positive(sizes, key):
    with pytest.raises(InputError, match=f"{key} must be a whole number of at least 1, got 0"):
        CosineClassifier(*sizes)
