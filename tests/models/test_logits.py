from __future__ import annotations

import copy
import logging

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.models import (
    CosineClassifier,
    find_classifier,
    reset_classifier,
    set_trainable,
    settle_classifier,
    with_head,
)
from tests.models.networks import NETWORKS, HeadOfTwoLayers, WithOthersOfThatSize, make

SHAPE = (3, 32, 32)
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@every_network
@pytest.mark.parametrize("kind", ["standard", "dar", "aux"])
def test_the_layer_whose_output_is_the_logits(name, kind):
    model = make(name, kind)
    assert settle_classifier(model, 7, SHAPE) == NETWORKS[name][1]
    assert find_classifier(model, 7)[0] == NETWORKS[name][1]
    assert isinstance(with_head(model, "cosine").get_submodule(NETWORKS[name][1]), CosineClassifier)
    assert settle_classifier(model, 7, SHAPE) == NETWORKS[name][1]


@every_network
def test_looking_for_it_leaves_no_trace_but_the_note(name):
    model = make(name).train()
    next(iter(model.children())).eval()
    modes = [part.training for part in model.modules()]
    before, state = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    settle_classifier(model, 7, SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_hooks for part in model.modules())


def test_other_layers_of_that_size_are_not_taken():
    model = WithOthersOfThatSize()
    assert settle_classifier(model, 7, SHAPE) == "output"
    before = copy.deepcopy(model.state_dict())
    reset_classifier(model, 7)
    set_trainable(model, "classifier", 7)
    assert {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])} == {
        "output.weight",
        "output.bias",
    }
    assert [name for name, each in model.named_parameters() if each.requires_grad] == ["output.weight", "output.bias"]


class Ends(nn.Module):
    """A linear layer of which something is made behind."""

    def __init__(self, end, out: int = 7) -> None:
        super().__init__()
        self.flatten, self.fc, self.end = nn.Flatten(), nn.Linear(3 * 32 * 32, out), end

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.fc(self.flatten(images)))


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: logits / 0.07,
        lambda logits: logits.log_softmax(1),
        lambda logits: logits.clone(),
        lambda logits: logits.mul_(2),
        lambda logits: logits[:, :, None].squeeze(2),
    ],
    ids=["temperature", "log-softmax", "copy", "in place", "another shape"],
)
@pytest.mark.parametrize("zero", [False, True])
def test_a_scale_and_a_shift_of_all_classes_change_nothing(end, zero):
    model = Ends(end)
    if zero:
        nn.init.zeros_(model.fc.weight)
        nn.init.zeros_(model.fc.bias)
    assert settle_classifier(model, 7, SHAPE) == "fc"


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: logits.relu_(),
        lambda logits: -logits,
        lambda logits: logits * torch.arange(1.0, 8.0),
        nn.Linear(7, 7).forward,
    ],
    ids=["in place", "sign", "scale of each class", "a layer that is not seen"],
)
def test_what_is_no_logits_is_not_taken(end, caplog):
    model = Ends(end)
    with caplog.at_level(logging.INFO):
        assert settle_classifier(model, 7, SHAPE) is None
    assert "classifier: no single layer gives the logits of Ends" in caplog.text
    with pytest.raises(InputError, match=r"no single layer of Ends gives its logits: .*model\.classifier"):
        find_classifier(model, 7)


def test_a_head_of_several_layers_can_be_named():
    model = HeadOfTwoLayers()
    assert settle_classifier(model, 7, SHAPE) == "head.2"
    assert settle_classifier(model, 7, SHAPE, "head") == "head"
    before = copy.deepcopy(model.state_dict())
    reset_classifier(model, 7)
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == {key for key in before if key.startswith("head.")}
    set_trainable(model, "classifier", 7)
    assert {name for name, each in model.named_parameters() if each.requires_grad} == changed
    with pytest.raises(InputError, match=r"the classifier must be an nn\.Linear, and is a Sequential"):
        with_head(model, "cosine")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("second_head", "classifier is second_head, whose output is not the logits of .*: those are of output"),
        ("first", "classifier is first, whose output is not the logits"),
        ("outputs", "classifier is 'outputs', and .* has no such layer: close are output"),
        (3, "classifier is 3, and .* has no such layer"),
    ],
)
def test_a_wrong_name_is_refused(name, words):
    with pytest.raises(InputError, match=words) as error:
        settle_classifier(WithOthersOfThatSize(), 7, SHAPE, name)
    assert error.value.key == "classifier"


def test_the_layer_is_named_in_the_log(caplog):
    with caplog.at_level(logging.INFO):
        settle_classifier(WithOthersOfThatSize(), 7, SHAPE)
    assert "classifier: the logits are the output of output, Linear(in_features=7, out_features=7" in caplog.text


@pytest.mark.parametrize(
    ("make_model", "name"),
    [
        (lambda: timm.create_model("resnetv2_18", num_classes=7), "head.fc"),
        (lambda: torchvision.models.squeezenet1_1(num_classes=7), None),
        (lambda: nn.Linear(32, 7), None),  # takes no images: left without a note
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 7)).double(), "1"),
    ],
    ids=["convolution", "squeezenet", "takes none", "float64"],
)
def test_further_networks(make_model, name):
    assert settle_classifier(make_model(), 7, SHAPE) == name


def test_a_layer_called_twice():
    model = nn.Module()
    model.fc = nn.Linear(3072, 7)
    model.forward = lambda images: (model.fc(images.flatten(1)) + model.fc(images.flip(3).flatten(1))) / 2
    assert settle_classifier(model, 7, SHAPE) == "fc"
