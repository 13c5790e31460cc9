from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import SmallCNN, with_head
from oponm.nn import convert_batchnorm
from oponm.training import Phase, PhasePlan, train
from oponm.training.parts import enter_part, exported_weights, finish_classifier, leave_part, rehearse, set_modes
from oponm.training.weights import load_weights
from tests.training.small import make_data, make_module


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(SmallCNN(16, in_channels=1, width=4), nn.Dropout(0.5), nn.Linear(16, 10))


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_frozen_backbone_gives_the_features_it_is_evaluated_with(model):
    images = torch.randn(8, 1, 8, 8)
    expected = model.eval()[0](images)
    before = weights(model)
    set_modes(model.train(), "classifier", None, 10)
    assert torch.equal(model[0](images), expected)
    assert not model[1].training
    assert model[2].training
    assert not changed(before, weights(model))


def test_batch_norms_of_a_frozen_backbone_may_follow_the_batch(model):
    set_modes(model, "classifier", "batch", 10)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)
    assert not model[1].training


def test_the_exported_weights_are_those_of_the_finished_network(model):
    images = torch.randn(4, 1, 8, 8)
    enter_part(model, "scale", reset=False, num_classes=10)
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.requires_grad).copy_(torch.arange(10.0))
    exported = exported_weights(model, 0.5, num_classes=10)
    leave_part(model)
    finish_classifier(model, 0.5, num_classes=10)
    plain = nn.Sequential(SmallCNN(16, in_channels=1, width=4), nn.Dropout(0.5), nn.Linear(16, 10))
    plain.load_state_dict(exported)
    assert torch.equal(plain.eval()(images), model.eval()(images))


def run(folder, last: Phase, tau: float | None = None, epochs: int = 3, **options):
    data = make_data(**options)
    module = make_module(data)
    seen = []
    original = module.on_train_epoch_end

    def note():
        seen.append(weights(module.model))
        original()

    module.on_train_epoch_end = note
    train(module, data, PhasePlan([Phase(2), last], epochs, tau), folder, accelerator="cpu")
    return module, data, seen


def test_crt_trains_a_new_classifier_alone(tmp_path):
    module, _, seen = run(tmp_path, Phase(1, "class_balanced", trainable="classifier", reset_classifier=True))
    assert changed(seen[1], weights(module.model)) == {"2.weight", "2.bias"}
    assert all(parameter.requires_grad for parameter in module.model.parameters())
    assert torch.nn.functional.cosine_similarity(seen[1]["2.weight"], module.model[2].weight).abs().mean() < 0.5


def test_what_the_user_froze_stays_frozen_in_a_phase_that_trains_all_after_one_that_trains_a_part(tmp_path):
    data = make_data()
    module = make_module(data)
    frozen = {name for name, _ in module.model.named_parameters() if name.startswith("0.")}
    for name in frozen:
        module.model.get_parameter(name).requires_grad_(False)
    before = weights(module.model)
    plan = PhasePlan([Phase(1), Phase(1, trainable="classifier"), Phase(1)], 3)
    train(module, data, plan, tmp_path, accelerator="cpu")
    moved = changed(before, weights(module.model))
    assert {"2.weight", "2.bias"} <= moved
    assert not moved & frozen
    assert {name for name, parameter in module.model.named_parameters() if not parameter.requires_grad} == frozen


def test_lws_trains_the_lengths_of_the_classifier_s_weights_alone(tmp_path):
    module, _, seen = run(tmp_path, Phase(1, "class_balanced", trainable="scale"))
    after = module.model.state_dict()
    assert changed(seen[1], after) == {"2.weight"}
    ratio = after["2.weight"] / seen[1]["2.weight"]
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert ratio[:, 0].std() > 1e-3


def test_the_classifier_and_its_scale_train_together_and_leave_a_plain_layer(tmp_path):
    module, data, seen = run(tmp_path, Phase(1, "class_balanced", trainable="scaled_classifier"))
    after = module.model.state_dict()
    assert changed(seen[1], after) == {"2.weight", "2.bias"}
    assert list(after) == list(make_module(data).model.state_dict())
    directions = [torch.nn.functional.normalize(weight) for weight in (seen[1]["2.weight"], after["2.weight"])]
    assert not torch.allclose(*directions, rtol=1e-3)


def test_shifted_batch_norm_moves_its_statistics_alone(tmp_path):
    """MiSLAS: running mean and variance follow the balanced batches; the learned factor and bias stay."""
    module, _, seen = run(tmp_path, Phase(1, "class_balanced", trainable="scaled_classifier", batchnorm="batch"))
    moved = changed(seen[1], weights(module.model)) - {"2.weight", "2.bias"}
    every = {
        name for name in seen[1] if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert moved == every
    module, _, seen = run(tmp_path / "running", Phase(1, "class_balanced", trainable="scaled_classifier"))
    assert changed(seen[1], weights(module.model)) == {"2.weight", "2.bias"}


def test_lengths_of_the_classifier_s_weights_are_limited_to_those_at_the_start_of_the_phase(tmp_path):
    phase = Phase(1, trainable="classifier", class_weights="effective_number", weight_decay=0.1, max_norm=0.1)
    module, _, seen = run(tmp_path, phase, epochs=6)
    norms = seen[3]["2.weight"].norm(dim=1)  # the last epoch before
    radius = norms.min() + 0.1 * (norms.max() - norms.min())
    after = module.model.state_dict()["2.weight"].norm(dim=1)
    assert after.max() <= radius * (1 + 1e-6)
    assert norms.max() > radius * 1.05
    assert module.trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.1


def test_noise_can_train_the_classifier_on_frozen_features(tmp_path):
    phase = Phase(1, "class_balanced", noise=True, trainable="classifier", batchnorm="batch")
    module, _, seen = run(tmp_path, phase)
    moved = changed(seen[1], weights(module.model))
    assert {"2.weight", "2.bias"} <= moved
    assert all(name in ("2.weight", "2.bias") or "running_" in name or "num_batches" in name for name in moved)
    assert any("running_mean" in name for name in moved)


def test_the_last_checkpoint_holds_the_normalized_classifier(tmp_path):
    module, data, _ = run(tmp_path, Phase(1), tau=1.0)
    assert torch.allclose(module.model[2].weight.norm(dim=1), torch.ones(10))
    restored = make_module(data, seed=4)
    load_weights(restored.model, tmp_path / "checkpoints/last.ckpt")
    assert not changed(weights(module.model), weights(restored.model))


def test_validation_sees_the_normalized_classifier_and_training_does_not(tmp_path):
    plain, _, first = run(tmp_path / "plain", Phase(1), val="test")
    finished, _, second = run(tmp_path / "finished", Phase(1), tau=1.0, val="test")
    assert all(not changed(one, other) for one, other in zip(first, second, strict=True))
    assert changed(weights(plain.model), weights(finished.model)) == {"2.weight", "2.bias"}
    best = torch.load(tmp_path / "finished/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert torch.allclose(best["model.2.weight"].norm(dim=1), torch.ones(10))


@pytest.mark.parametrize(
    ("phase", "tau"),
    [
        (Phase(1, trainable="scale"), None),
        (Phase(1, trainable="scaled_classifier"), None),
        (Phase(1, trainable="classifier", max_norm=0.1), None),
        (Phase(1), 0.5),
    ],
)
def test_a_cosine_classifier_has_no_lengths_which_is_said_before_training(model, phase, tau):
    with_head(model, "cosine")
    with pytest.raises(InputError, match="head=linear"):
        rehearse(model, PhasePlan([phase], 1, tau), 10)


def test_a_rehearsal_leaves_the_network_alone(model):
    before = weights(model)
    rehearse(model, PhasePlan([Phase(1), Phase(1, trainable="scale", reset_classifier=True)], 2, tau=1.0), 10)
    assert not changed(before, weights(model))


def test_dar_bn_layers_survive_a_change_of_the_trained_part(model):
    convert_batchnorm(model, noise_grad="full")
    kinds = [type(part) for part in model.modules()]
    enter_part(model, "scale", reset=True, num_classes=10)
    leave_part(model)
    assert [type(part) for part in model.modules()] == kinds
