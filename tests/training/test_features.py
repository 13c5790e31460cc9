from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.losses import CrossEntropy, InfluenceBalanced
from oponm.models import SmallCNN
from oponm.models.classifier import find_classifier
from oponm.nn import convert_batchnorm
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase, PhasePlan, fit
from oponm.training.features import logits_and_loss
from oponm.training.noise_pass import split_logits
from tests.training.small import make_data, make_module

COUNTS = [100, 50, 10, 5, 2, 2, 2]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return SmallCNN(7, in_channels=1, width=4).eval()


def test_the_norms_are_those_of_what_the_classifier_gets(model):
    images = torch.randn(5, 1, 8, 8)
    logits, loss = logits_and_loss(lambda: model(images), InfluenceBalanced(COUNTS), model, 7)
    assert torch.equal(logits, model(images))
    features = []
    find_classifier(model)[1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    model(images)
    assert torch.equal(loss.keywords["feature_norms"], features[0].abs().sum(1))
    assert loss.keywords["feature_norms"].requires_grad


def test_rows_that_pass_apart_have_their_norms_in_the_order_of_the_logits(model):
    images = torch.randn(6, 1, 8, 8)
    together = logits_and_loss(lambda: model(images), InfluenceBalanced(COUNTS), model, 7)[1]
    split = lambda: split_logits(model, find_classifier(model)[1], images, natural=4)  # noqa: E731
    apart = logits_and_loss(split, InfluenceBalanced(COUNTS), model, 7)[1]
    torch.testing.assert_close(apart.keywords["feature_norms"], together.keywords["feature_norms"])


def test_no_hook_is_left_and_other_losses_get_none(model):
    images, plain = torch.randn(2, 1, 8, 8), CrossEntropy(COUNTS)
    assert logits_and_loss(lambda: model(images), plain, model, 7)[1] is plain
    logits_and_loss(lambda: model(images), InfluenceBalanced(COUNTS), model, 7)
    with pytest.raises(ZeroDivisionError):
        logits_and_loss(lambda: 1 / 0, InfluenceBalanced(COUNTS), model, 7)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_logits_that_do_not_come_from_the_classifier_are_refused(model):
    with pytest.raises(InputError, match="without calling its classifier"):
        logits_and_loss(lambda: torch.zeros(2, 7), InfluenceBalanced(COUNTS), model, 7)


def test_a_step_minimizes_the_loss_of_the_step_s_own_features():
    data = make_data()
    module = make_module(data).eval()
    module.plan = PhasePlan([Phase(1, loss=InfluenceBalanced)], 1)
    module.follow(module.plan.at(0))
    module._trainer = type("Trainer", (), {"current_epoch": 0, "global_rank": 0})()
    images, targets = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 9, 9])
    norms = module.model[0](images).abs().sum(1)
    expected = InfluenceBalanced(data.class_counts)(module.model(images), targets, norms).mean()
    torch.testing.assert_close(module.training_step(Batch(images, targets, None), 0), expected)


def test_compiled_networks_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"^compile cannot be true with a loss that needs the features"):
        fit(DigitsLT(), method="influence_balanced", compile=True, max_epochs=2, output_dir=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_noise_in_a_pass_of_its_own_gives_the_same_gradients():
    gradients = []
    for split in (True, False):
        torch.manual_seed(0)
        network = convert_batchnorm(SmallCNN(10, in_channels=1, width=4), noise_grad="none")
        module = LongTailModule(network, class_counts=[50, 40, 30, 20, 10, 9, 8, 7, 6, 5], split_noise=split)
        module.plan = PhasePlan([Phase(1, noise=True, loss=InfluenceBalanced)], 1)
        module.follow(module.plan.at(0))
        module._trainer = type("Trainer", (), {"current_epoch": 0, "global_rank": 0})()
        images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        batch = Batch(images, torch.arange(8), torch.arange(8) >= 5)
        module.training_step(batch, 0).backward()
        assert module._can_split is (True if split else None)
        gradients.append([parameter.grad for parameter in module.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
