from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models.two_stage import wrap_scale
from oponm.training import Phase, PhasePlan, train
from oponm.training.phase_optimizer import limit_norms, raise_rate_of_scale
from tests.training.small import make_data, make_module


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 5))
    with torch.no_grad():
        network[1].weight.mul_(torch.arange(1.0, 6)[:, None])
    return network


def step(model, optimizer):
    optimizer.zero_grad()
    (10 * model(torch.ones(3, 6)).square()).mean().backward()
    optimizer.step()


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_rows_longer_than_the_radius_are_cut_to_it_after_each_step_and_others_are_not(model, share):
    plain = copy.deepcopy(model)
    norms = model[1].weight.detach().norm(dim=1)
    radius = norms.min() + share * (norms.max() - norms.min())
    limited, free = (torch.optim.SGD(each.parameters(), lr=0.01) for each in (model, plain))
    limit_norms(limited, model, share, 5)
    assert torch.equal(model[1].weight, plain[1].weight)  # nothing before the first step
    step(model, limited)
    step(plain, free)
    expected = plain[1].weight * (radius / plain[1].weight.norm(dim=1, keepdim=True)).clamp_max(1)
    torch.testing.assert_close(model[1].weight, expected)
    assert torch.equal(model[1].bias, plain[1].bias)
    assert torch.equal(model[0].weight, plain[0].weight)


def test_the_radius_stays_and_is_restored_with_the_optimizer(model):
    first = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    limit_norms(first, model, 0.1, 5)
    for _ in range(3):
        step(model, first)
    state = copy.deepcopy(first.state_dict())
    other = copy.deepcopy(model)
    second = torch.optim.SGD(other.parameters(), lr=0.01, momentum=0.9)
    limit_norms(second, other, 0.1, 5)  # of shorter rows: another radius, until the state is loaded
    assert second.param_groups[0]["max_norm"] != first.param_groups[0]["max_norm"]
    second.load_state_dict(state)
    for _ in range(2):
        step(model, first)
        step(other, second)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_zero_rows_are_refused(model):
    nn.init.zeros_(model[1].weight)
    with pytest.raises(InputError, match="at zero") as error:
        limit_norms(torch.optim.SGD(model.parameters(), lr=0.01), model, 0.1, 5)
    assert error.value.key == "max_norm"


def test_a_scale_gets_a_group_of_its_own_and_no_weight_is_lost(model):
    wrap_scale(model, 5)
    weights = list(model.parameters())
    groups = [{"params": weights[:2]}, {"params": weights[2:], "lr": 0.02, "weight_decay": 0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=1e-3)
    raise_rate_of_scale(optimizer, model, 4.0)
    found = [([each.ndim for each in group["params"]], group["lr"]) for group in optimizer.param_groups]
    assert found == [([1], 0.08), ([2, 1], 0.1), ([1, 2], 0.02)]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 1e-3, 0]
    assert {id(each) for group in optimizer.param_groups for each in group["params"]} == {id(each) for each in weights}


def test_without_a_scale_nothing_changes(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    raise_rate_of_scale(optimizer, model, 4.0)
    assert [(len(group["params"]), group["lr"]) for group in optimizer.param_groups] == [(4, 0.1)]


def test_in_training_the_scale_has_the_run_s_rate_and_the_classifier_the_phase_s(tmp_path):
    """MiSLAS: the stage-one classifier goes on at a part of the rate; a careless implementation slows the scale too."""
    data = make_data()
    module, seen = make_module(data), []
    phase = Phase(1, trainable="scaled_classifier", lr_factor=0.2)
    original = module.on_train_epoch_end

    def note():
        seen.append([(len(group["params"]), group["lr"]) for group in module.trainer.optimizers[0].param_groups])
        original()

    module.on_train_epoch_end = note
    train(module, data, PhasePlan([Phase(1), phase], 2), tmp_path, accelerator="cpu")
    assert seen[1] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.02))]
