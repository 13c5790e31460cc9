"""Noise rows in a pass of their own: the same training step, with less of a backward pass."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.models import CosineClassifier, SmallCNN, WideResNet, resnet32
from oponm.nn import convert_batchnorm, noise_routing
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase, PhasePlan, fit, noise_pass, train
from oponm.training.noise_pass import split_logits, split_obstacle
from tests.training.small import OPEN, make_data

NATURAL, NOISE = 6, 3


def images(size: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.randn(NATURAL + NOISE, channels, size, size, generator=torch.Generator().manual_seed(0))


def timm_resnet() -> nn.Module:
    return timm.create_model("resnet10t", num_classes=5, in_chans=3)


class Checkpointed(nn.Module):
    """Its first half is computed again on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.fc = nn.LazyLinear(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(checkpoint(self.stem, x, use_reentrant=False)))


class Bias(nn.Module):
    """Added to the logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits + self.bias


def scaled() -> nn.Module:
    """What comes behind the classifier learns from noise as well."""
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return nn.Sequential(features, CosineClassifier(144, 5), Bias(5))


def checkpointed() -> nn.Module:
    """Plain batch norm counts natural rows that come back to it once more, DAR-BN does not."""
    model = Checkpointed()
    model(images())
    return convert_batchnorm(model)


NETWORKS = {
    "resnet32": partial(resnet32, 5),
    "wide_resnet": partial(WideResNet, 10, 1, 5),
    "small_cnn": partial(SmallCNN, 5, width=4),
    "timm": timm_resnet,
    "behind_the_classifier": scaled,
}


def made(name: str, noise_grad: str = "none", kind: str = "dar") -> nn.Module:
    torch.manual_seed(0)
    return convert_batchnorm(NETWORKS[name](), kind=kind, noise_grad=noise_grad)


def classifier_of(model: nn.Module) -> nn.Module:
    return noise_pass.find_classifier(model, 5)[1]


def step(model: nn.Module, x: torch.Tensor, split: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    if split:
        logits = split_logits(model, classifier_of(model), x, NATURAL)
    else:
        with noise_routing(torch.arange(len(x)) >= NATURAL):
            logits = model(x)
    logits.square().mean().backward()
    return logits.detach(), {name: part.grad for name, part in model.named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_step_is_that_of_one_pass(name):
    together, apart = (made(name).double() for _ in range(2))
    x = images().double()
    (logits, grads), (of_split, of_apart) = step(together, x, split=False), step(apart, x, split=True)
    torch.testing.assert_close(of_split, logits)
    for parameter, grad in grads.items():
        torch.testing.assert_close(of_apart[parameter], grad, msg=lambda text, key=parameter: f"{key}: {text}")
    for buffer, value in together.named_buffers():
        torch.testing.assert_close(dict(apart.named_buffers())[buffer], value)
    assert split_obstacle(made(name), images(), 5) is None


@pytest.mark.parametrize("name", ["resnet32", "wide_resnet"])
def test_under_autocast_every_weight_gets_its_gradient(name):
    """Weights cast without a graph for the noise rows must not stand in for those of natural rows."""
    together, apart = (made(name) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        grads, of_apart = (step(model, images(), split)[1] for model, split in ((together, False), (apart, True)))
    exact = step(made(name).double(), images().double(), split=False)[1]
    for parameter, grad in exact.items():
        off, rounding = ((found[parameter].double() - grad).norm() / grad.norm() for found in (of_apart, grads))
        assert off < 2 * rounding + 0.02, parameter


def test_natural_rows_alone_have_a_graph_below_the_classifier():
    def saved_rows(split):
        rows = []
        with torch.autograd.graph.saved_tensors_hooks(lambda part: rows.append(len(part)) or part, lambda part: part):
            step(made("resnet32"), images(), split)
        return rows

    assert saved_rows(split=False).count(NATURAL + NOISE) > 60
    rows = saved_rows(split=True)
    assert rows.count(NATURAL) > 60
    assert rows.count(NATURAL + NOISE) == 1  # the logits
    assert rows.count(NOISE) == 1  # what the classifier keeps


class Mingling(nn.Module):
    """Takes the mean of the batch off its images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made("small_cnn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x - x.mean(0, keepdim=True))


class Drawing(nn.Module):
    """Adds noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made("small_cnn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x + torch.randn_like(x)) + torch.randn(len(x), 5, dtype=x.dtype)


class Grouping(nn.Module):
    """Takes the mean of each four images off them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made("small_cnn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.cat([part - part.mean(0, keepdim=True) for part in x.split(4)]))


def zero_headed() -> nn.Module:
    """At first no gradient at all passes its classifier, later those of noise reach the layer below."""
    features = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*features, nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 5))
    nn.init.zeros_(model[-1].weight)
    return convert_batchnorm(model)


def hooked() -> nn.Module:
    model = made("small_cnn")
    model.register_forward_hook(lambda *_: None)
    return model


class Counting(nn.Module):
    """Counts the images that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made("small_cnn")
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.inner(x)


class Uncopied(nn.Module):
    """Refuses to be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 5)

    def __deepcopy__(self, memo: dict) -> nn.Module:
        raise RuntimeError("one of a kind")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (partial(made, "resnet32", "input"), "reach more than the classifier.*noise_grad=none"),
        (partial(made, "resnet32", "full"), "reach more than the classifier"),
        (partial(made, "resnet32", "full", "aux"), "reach more than the classifier"),
        (partial(made, "resnet32", "none", "aux"), "reach more|buffer"),  # its second gamma and beta decay
        (partial(made, "resnet32", "none", "standard"), "affect each other's logits"),
        (partial(made, "resnet32", "full", "standard"), "affect each other's logits"),
        (Mingling, "affect each other's logits"),
        (Drawing, "random operation other than dropout"),
        (Grouping, "affect each other's logits"),
        (zero_headed, "4.weight, say"),
        (hooked, "has hooks"),
        (Counting, "buffer calls"),
        (checkpointed, "buffer stem.1.running_mean"),
        (Uncopied, "one of a kind"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), "no classifier with 5 outputs"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.Linear(6, 5)), "0?1.weight, say"),
    ],
)
def test_networks_that_need_one_pass_are_told(make, reason):
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(split_obstacle(make(), images(), 5))


def test_looking_leaves_the_network_and_the_generators_as_they_were():
    model = made("wide_resnet")
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert split_obstacle(model, images(), 5) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.grad is None for part in model.parameters())


@pytest.fixture
def passes(monkeypatch):
    """The number of natural rows of each step that is split."""
    seen = []

    def noted(forward, classifier, images, natural):
        seen.append(natural)
        return split_logits(forward, classifier, images, natural)

    monkeypatch.setattr("oponm.training.module.split_logits", noted)
    return seen


def trained(folder, noise_grad="none", phases=OPEN, precision="32-true", **options):
    data = make_data()
    torch.manual_seed(0)
    model = convert_batchnorm(SmallCNN(10, in_channels=1, width=4), noise_grad=noise_grad)
    module = LongTailModule(
        model, class_counts=data.class_counts, optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9), **options
    )
    train(module, data, PhasePlan(phases, 2), folder, accelerator="cpu", precision=precision)
    return module


@pytest.mark.parametrize(
    ("options", "splits"),
    [
        ({}, False),
        ({"channels_last": True}, True),
        ({"channels_last": True, "noise_grad": "input"}, False),
        ({"channels_last": True, "split_noise": False}, False),
        ({"split_noise": True}, True),
        ({"precision": "bf16-mixed"}, True),
    ],
)
def test_what_a_run_splits(tmp_path, passes, options, splits):
    trained(tmp_path, **options)
    assert bool(passes) == splits
    assert all(natural >= 2 for natural in passes)


def test_a_run_that_splits_comes_to_the_same_weights(tmp_path, passes):
    apart, together = (trained(tmp_path / str(split), split_noise=split) for split in (True, False))
    assert len(set(passes)) > 1  # the number of noise rows changes
    for mine, theirs in zip(apart.model.state_dict().values(), together.model.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_each_phase_is_tried_for_itself(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr("oponm.training.module.split_obstacle", lambda *_: tried.append(1))
    noisy = {"sampler": "class_balanced", "noise": True}
    trained(tmp_path, phases=[Phase(1, **noisy), Phase(1, **noisy, trainable="classifier")], split_noise=True)
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"noise_grad": "full"}, "reach more than the classifier"),
        ({"compile": True}, "torch.compile"),
        ({"norm": "aux"}, "reach more than the classifier"),
    ],
)
def test_asking_for_it_where_it_cannot_be_is_an_error_before_anything_is_written(tmp_path, options, reason):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=reason) as error:
        fit(DigitsLT(), method="open", max_epochs=2, output_dir=folder, split_noise=True, **options)
    assert error.value.key == "split_noise"
    assert not folder.exists()


def test_asking_for_it_is_judged_by_the_phases_that_have_noise(tmp_path, passes):
    options = {"max_epochs": 4, "split_noise": True, "noise_grad": "full"}
    noisy = {"sampler": "class_balanced", "noise": True}
    of_classifier = [Phase(1), Phase(1, **noisy, trainable="classifier")]
    fit(DigitsLT(), method=of_classifier, output_dir=tmp_path / "run", **options)
    assert passes
    with pytest.raises(InputError, match="reach more than the classifier"):
        fit(DigitsLT(), method=[*of_classifier, Phase(1, **noisy)], output_dir=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()


def test_a_module_of_ones_own_says_that_it_does_not_follow(caplog):
    module = LongTailModule(convert_batchnorm(SmallCNN(5), noise_grad="full"), class_counts=[10] * 5, split_noise=True)
    batch = Batch(images(), torch.arange(NATURAL + NOISE) % 5, torch.arange(NATURAL + NOISE) >= NATURAL)
    for _ in range(2):
        module.training_step(batch, 0)
    assert sum("split_noise=true is not followed" in text for text in caplog.messages) == 1


def test_want_of_memory_is_no_reason_of_the_network():
    class Full(nn.Module):
        def forward(self, images):
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        split_obstacle(nn.Sequential(Full(), nn.Flatten(), nn.Linear(192, 5)), images(), 5)


@pytest.mark.parametrize("value", ["yes", 1])
def test_another_value_is_refused(value):
    with pytest.raises(InputError, match="must be auto, true or false"):
        fit(DigitsLT(), method="open", max_epochs=2, split_noise=value)


def test_a_step_that_computes_its_first_half_again_comes_back_to_the_natural_rows():
    model = Checkpointed()
    model.stem[1] = nn.BatchNorm2d(4, track_running_stats=False)
    model(images())
    module = LongTailModule(convert_batchnorm(model), class_counts=[10] * 5, split_noise=True)
    batch = Batch(images(), torch.arange(NATURAL + NOISE) % 5, torch.arange(NATURAL + NOISE) >= NATURAL)
    module.training_step(batch, 0).backward()
    assert module._can_split
    assert model.stem[0].weight.grad.abs().sum() > 0
