from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import SmallCNN, resnet20
from oponm.nn import convert_batchnorm
from oponm.training.parameter_groups import grouped, takes_network, with_groups

ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.05)


def settings_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """The learning rate and weight decay of each weight, by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(each)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for each in group["params"]
    }


def test_without_settings_the_optimizer_is_the_one_given():
    assert grouped(ADAMW, {}) is ADAMW
    assert grouped(ADAMW, {"backbone_factor": 1, "layer_decay": None, "decay_norms": True, "groups": []}) is ADAMW
    assert takes_network(grouped(ADAMW, {"decay_norms": False}))


@pytest.mark.parametrize("kind", ["dar", "aux"])
def test_each_weight_is_in_one_group_and_the_classifier_in_the_last(kind):
    model = convert_batchnorm(resnet20(10), kind)
    made = with_groups(model, 10, ADAMW, backbone_factor=0.1, decay_norms=False)
    found = settings_of(model, made)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert sum(len(group["params"]) for group in made.param_groups) == len(found)
    for name, parameter in model.named_parameters():
        head = name.startswith("fc.")
        assert found[name] == (pytest.approx(1e-2 if head else 1e-3), 0.05 if parameter.ndim > 1 else 0)
    assert made.param_groups[-1]["lr"] == 1e-2  # which is logged
    assert any(each is model.fc.weight for each in made.param_groups[-1]["params"])


def test_a_step_moves_each_part_at_its_rate():
    torch.manual_seed(0)
    model = SmallCNN(10)
    sgd = partial(torch.optim.SGD, lr=1.0)
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimizer = with_groups(model, 10, sgd, backbone_factor=0.25, groups=[{"match": "^convs.0", "lr": 0.0}])
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = 0.0 if name.startswith("convs.0") else 1.0 if name.startswith("fc.") else 0.25
        torch.testing.assert_close(before[name] - parameter.detach(), torch.full_like(parameter, rate))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18"])
def test_the_rate_falls_from_block_to_block(name):
    model = timm.create_model(name, num_classes=5)
    found = settings_of(model, with_groups(model, 5, ADAMW, layer_decay=0.5, backbone_factor=0.5))
    head = "head." if "vit" in name else "fc."
    blocks = (
        ["patch_embed.", *(f"blocks.{n}." for n in range(12))] if "vit" in name else ["conv1.", "layer1.1", "layer4.1"]
    )
    rates = [{rate for each, (rate, _) in found.items() if each.startswith(block)} for block in blocks]
    assert all(len(each) == 1 for each in rates)
    rates = [each.pop() for each in rates]
    assert all(earlier <= later / 2 * 1.0001 for earlier, later in pairwise(rates))
    assert {rate for each, (rate, _) in found.items() if each.startswith(head)} == {1e-2}
    assert max(rates) <= 1e-2 * 0.5 * 1.0001


def test_what_a_network_names_has_no_weight_decay():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5)
    found = settings_of(model, with_groups(model, 5, ADAMW, decay_norms=False))
    assert model.pos_embed.ndim == 3
    assert found["pos_embed"][1] == found["cls_token"][1] == found["blocks.0.norm1.weight"][1] == 0
    assert found["blocks.0.mlp.fc1.weight"][1] == 0.05


def test_frozen_weights_are_left_out():
    model = SmallCNN(10)
    model.convs.requires_grad_(False)
    found = settings_of(model, with_groups(model, 10, ADAMW, groups=[{"match": "convs", "lr": 1.0}], decay_norms=False))
    assert not any(name.startswith("convs") for name in found)
    assert "fc.weight" in found


def test_the_first_expression_that_is_found_counts():
    model = SmallCNN(10)
    groups = [{"match": r"fc\.bias", "lr": 3.0}, {"match": "fc", "lr": 2.0, "weight_decay": 0.5}]
    found = settings_of(model, with_groups(model, 10, ADAMW, groups=groups, backbone_factor=0.1))
    assert (found["fc.bias"], found["fc.weight"]) == ((3.0, 0.05), (2.0, 0.5))


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        (
            "groups",
            {"groups": [{"match": "nothing", "lr": 1}]},
            "has match='nothing', which matches no weight; weights are named convs",
        ),
        ("groups", {"groups": [{"match": "(", "lr": 1}]}, "no regular expression in"),
        ("groups", {"groups": {"match": "fc"}}, "must be a list of groups such as"),
        ("groups", {"groups": [{"match": "fc", "learning_rate": 1}]}, "has 'learning_rate', no setting of AdamW: lr, "),
        ("layer_decay", {"layer_decay": 2}, "must lie in"),
        ("layer_decay", {"layer_decay": 0.5}, "is for networks of timm, and SmallCNN does not say"),
        ("backbone_factor", {"backbone_factor": -1}, "must be a number of at least 0"),
        ("decay_norms", {"decay_norms": 5}, "must be true or false"),
    ],
)
def test_what_cannot_be_used_is_named(key, options, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as error:
        with_groups(SmallCNN(10), 10, ADAMW, **options)
    assert error.value.key == key


def test_a_rate_by_part_needs_a_rate():
    with pytest.raises(InputError, match="must be given") as error:
        with_groups(SmallCNN(10), 10, partial(torch.optim.Adadelta), backbone_factor=0.5)
    assert error.value.key == "lr"
