from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from oponm.errors import InputError
from oponm.models import (
    fold_scale,
    reset_classifier,
    set_trainable,
    tau_normalize,
    timm_model,
    with_head,
    wrap_scale,
)
from tests.models.networks import NETWORKS, images, make, predict

every_network = pytest.mark.parametrize("name", NETWORKS)
every_kind = pytest.mark.parametrize("kind", ["standard", "dar", "aux"])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def classifier(model: nn.Module, name: str) -> nn.Linear:
    return model.get_submodule(NETWORKS[name][1])


def trainable(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@every_network
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_resetting_draws_the_classifier_alone_anew(name, head):
    model = with_head(make(name, "dar"), head, num_classes=7)
    before = state(model)
    torch.manual_seed(5)
    reset_classifier(model, 7)
    after = state(model)
    changed = {tensor for tensor in before if not torch.equal(before[tensor], after[tensor])}
    path = NETWORKS[name][1]
    assert changed == {tensor for tensor in before if tensor.startswith(f"{path}.")}
    torch.manual_seed(5)
    reset_classifier(model, 7)
    assert all(torch.equal(tensor, after[other]) for other, tensor in model.state_dict().items())


@every_network
@every_kind
def test_a_scale_changes_nothing_at_first_and_is_folded_into_the_weights(name, kind):
    model = make(name, kind)
    before, keys, order = predict(model), list(model.state_dict()), [id(p) for p in model.parameters()]
    layer_type = type(classifier(model, name))
    wrap_scale(model, 7)
    assert torch.equal(predict(model), before)
    (scale,) = [parameter for tensor, parameter in model.named_parameters() if tensor.endswith(".scale")]
    assert scale.shape == (7,)
    with torch.no_grad():
        scale.copy_(torch.linspace(0.5, 2, 7))
    scaled = predict(model)
    layer = classifier(model, name)
    bias = 0 if layer.bias is None else layer.bias
    torch.testing.assert_close(scaled, (before - bias) * torch.linspace(0.5, 2, 7) + bias, atol=1e-5, rtol=1e-4)
    fold_scale(model)
    assert torch.equal(predict(model), scaled)
    assert list(model.state_dict()) == keys
    assert [id(parameter) for parameter in model.parameters()] == order
    assert type(classifier(model, name)) is layer_type


def test_a_scale_learns_what_its_equation_says():
    model = make("small")
    features, layer = torch.randn(5, 16), model.fc
    wrap_scale(model)
    set_trainable(model, "scale")
    targets = torch.arange(5)
    F.cross_entropy(layer(features), targets).backward()
    weight, bias = (tensor.detach().clone() for tensor in (layer.weight, layer.bias))
    f = torch.ones(7, requires_grad=True)
    F.cross_entropy(features @ (f[:, None] * weight).T + bias, targets).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert list(grads) == ["fc.parametrizations.weight.0.scale"]
    torch.testing.assert_close(grads["fc.parametrizations.weight.0.scale"], f.grad)


def test_folding_without_a_scale_changes_nothing():
    model = make("small")
    before = state(model)
    fold_scale(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_scaled_state_dict_loads_and_copies():
    model = make("small")
    wrap_scale(model)
    with torch.no_grad():
        dict(model.named_parameters())["fc.parametrizations.weight.0.scale"].mul_(3)
    twin = make("small")
    wrap_scale(twin)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(predict(twin), predict(model))
    assert torch.equal(predict(copy.deepcopy(model)), predict(model))


def test_a_layer_without_bias_and_in_double_precision():
    model = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    wrap_scale(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    fold_scale(model)
    assert list(model.state_dict()) == ["0.weight"]
    tau_normalize(model, 1.0)
    torch.testing.assert_close(model[0].weight.norm(dim=1), torch.ones(3, dtype=torch.float64))


@every_network
@pytest.mark.parametrize("tau", [0, 0.5, 1.0, 1.7])
def test_tau_normalization(name, tau):
    model = make(name, "dar")
    layer, features = classifier(model, name), []
    with torch.no_grad():
        layer.weight.mul_(torch.linspace(0.1, 3, 7)[:, None])
        layer.weight[2] = 0
    rows = layer.weight.detach().clone()
    tau_normalize(model, tau, 7)
    expected = torch.stack([row / row.norm() ** tau if row.any() else row for row in rows])
    torch.testing.assert_close(layer.weight, expected)
    layer.register_forward_hook(lambda *hook: features.append(hook[1][0]))
    torch.testing.assert_close(predict(model), features[0] @ expected.T)
    assert not layer.bias.any()
    assert layer.weight.requires_grad


@every_network
@every_kind
def test_what_is_trained(name, kind):
    model, path = make(name, kind), NETWORKS[name][1]
    every = trainable(model)
    set_trainable(model, "classifier", 7)
    assert trainable(model) == [f"{path}.weight", f"{path}.bias"]
    set_trainable(model, "all", 7)
    assert trainable(model) == every
    wrap_scale(model, 7)
    set_trainable(model, "scale", 7)
    assert trainable(model) == [f"{path}.parametrizations.weight.0.scale"]
    fold_scale(model)
    assert trainable(model) == []
    set_trainable(model, "all", 7)
    assert trainable(model) == every


def test_a_cosine_classifier_can_be_trained_alone():
    model = with_head(make("resnet"), "cosine")
    set_trainable(model, "classifier")
    assert trainable(model) == ["fc.weight"]


def test_one_step_moves_the_trained_part_alone():
    model = make("timm resnet18")
    wrap_scale(model)
    set_trainable(model, "scale")
    before = dict(state(model))
    optimizer = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.1)
    F.cross_entropy(model.eval()(images()), torch.arange(4)).backward()
    optimizer.step()
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == ["fc.parametrizations.weight.0.scale"]


@pytest.mark.parametrize(
    "change", [wrap_scale, lambda model: tau_normalize(model, 0.5)], ids=["learnable scale", "tau normalization"]
)
def test_lengths_mean_nothing_to_a_cosine_classifier(change):
    model = with_head(make("small"), "cosine")
    before = state(model)
    with pytest.raises(InputError, match=r"nn\.Linear, and is a CosineClassifier: use head=linear"):
        change(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "change",
    [wrap_scale, reset_classifier, lambda model: tau_normalize(model, 0.5)],
    ids=["wrapped again", "reset", "normalized"],
)
def test_a_scaled_classifier_has_to_be_folded_first(change):
    model = make("small")
    wrap_scale(model)
    with pytest.raises(InputError, match=r"has a learnable scale.*fold_scale\(model\)"):
        change(model)


@pytest.mark.parametrize("tau", [-0.1, float("nan"), "1", None])
def test_a_tau_has_to_be_a_number_of_at_least_zero(tau):
    with pytest.raises(InputError, match="tau must be a number of at least 0"):
        tau_normalize(make("small"), tau)


@pytest.mark.parametrize(
    ("part", "words"), [("backbone", "part must be one of all, classifier, scale"), ("scale", r"wrap_scale\(model\)")]
)
def test_a_part_that_cannot_be_trained_changes_nothing(part, words):
    model = make("small")
    model.fc.bias.requires_grad_(False)
    before = trainable(model)
    with pytest.raises(InputError, match=words) as error:
        set_trainable(model, part)
    assert error.value.key == "part"
    assert trainable(model) == before


def test_a_convolution_as_classifier_can_be_retrained():
    model = timm_model("resnetv2_18", num_classes=7)
    before = model.head.fc.weight.detach().clone()
    reset_classifier(model, 7)
    assert not torch.equal(model.head.fc.weight, before)
    set_trainable(model, "classifier", 7)
    assert trainable(model) == ["head.fc.weight", "head.fc.bias"]


@pytest.mark.parametrize("part", ["classifier", "scale"])
def test_what_the_user_froze_stays_frozen_through_every_part(part):
    model = make("small")
    frozen = {name for name, _ in model.named_parameters() if not name.startswith("fc")} | {"fc.bias"}
    frozen.remove(trainable(model)[0])
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    before = trainable(model)
    if part == "scale":
        wrap_scale(model)
    set_trainable(model, part)
    assert len(trainable(model)) == 1
    twin = copy.deepcopy(model)  # taken in the middle of a phase
    set_trainable(twin, "all")
    assert len(trainable(twin)) == len(before) + (part == "scale")
    fold_scale(model)
    set_trainable(model, "all")
    assert trainable(model) == before


def test_from_one_part_to_another_without_all_between_them():
    model = make("small")
    every = trainable(model)
    set_trainable(model, "classifier")
    wrap_scale(model)
    set_trainable(model, "scale")
    set_trainable(model, "classifier")
    fold_scale(model)
    set_trainable(model, "classifier")
    assert trainable(model) == ["fc.weight", "fc.bias"]
    set_trainable(model, "all")
    assert trainable(model) == every


def test_a_part_that_the_user_froze_as_a_whole_is_refused():
    model = make("small")
    model.fc.requires_grad_(False)
    before = trainable(model)
    with pytest.raises(InputError, match="part is classifier, whose parameters were all frozen before"):
        set_trainable(model, "classifier")
    assert trainable(model) == before
