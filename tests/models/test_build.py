from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from oponm.errors import InputError
from oponm.models import CosineClassifier, SmallCNN, WideResNet, find_classifier, make_network
from tests.models.networks import HeadOfTwoLayers, ProjectionBehind, WithOthersOfThatSize

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"
CHOICES = sorted(file.stem for file in (CONF_DIR / "model").glob("*.yaml") if not file.stem.startswith("_"))
SIZES = {
    "resnet20": 269_527,
    "resnet32": 463_959,
    "resnet44": 658_391,
    "resnet56": 852_823,
    "small_cnn": 24_151,
    "wrn_16_2": 691_287,
    "wrn_28_10": 36_477_271,
    "wrn_40_2": 2_243_159,
    "timm": 11_180_103,
    "torchvision": 11_180_103,
    "resnext50": 22_994_247,
    "resnet152": 58_158_151,
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def make_from_config(choice: str, *overrides: str, num_classes: int = 7, in_channels: int = 3) -> nn.Module:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = dict(compose(f"model/{choice}", [*overrides]).model)
    head, weights, _ = (config.pop(key) for key in ("head", "weights", "classifier"))
    return make_network(instantiate(config, _partial_=True), num_classes, in_channels, head, weights)


def test_every_choice_has_a_size_to_hold():
    assert {*SIZES, "custom"} == set(CHOICES)


@pytest.mark.parametrize("choice", SIZES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_every_choice_makes_the_network_it_names(choice, in_channels):
    with torch.device("meta"):
        model = make_from_config(choice, in_channels=in_channels)
        assert model.eval()(torch.zeros(2, in_channels, 32, 32)).shape == (2, 7)
    if in_channels == 3:
        assert sum(parameter.numel() for parameter in model.parameters()) == SIZES[choice]


@pytest.mark.parametrize("choice", SIZES)
def test_every_choice_takes_a_cosine_head(choice):
    with torch.device("meta"):
        model = make_from_config(choice, "model.head=cosine")
    assert isinstance(find_classifier(model, 7)[1], CosineClassifier)


def test_a_class_of_one_s_own():
    model = make_from_config(
        "custom", "model._target_=tests.models.networks.ProjectionBehind", "model.head=cosine", in_channels=1
    )
    assert type(model).__name__ == "ProjectionBehind"
    assert isinstance(model.output, CosineClassifier)
    assert isinstance(model.projection, nn.Linear)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 7)


def test_the_settings_of_a_choice_reach_the_network(tmp_path):
    source = make_from_config("small_cnn", "model.width=3", num_classes=9)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    model = make_from_config("small_cnn", "model.width=3", f"model.weights={tmp_path / 'w.pt'}")
    assert torch.equal(model.convs[0].weight, source.convs[0].weight)
    assert model.fc.weight.shape == (7, 12)
    with torch.device("meta"):
        assert make_from_config("timm", "model.name=resnet34", "model.small_stem=true").conv1.kernel_size == (3, 3)
        assert make_from_config("torchvision", "model.name=mobilenet_v2", "+model.dropout=0.6").classifier[0].p == 0.6


def test_weights_are_those_of_the_file_and_the_head_is_made_before(tmp_path):
    source = make_network(SmallCNN, 7, 1, head="cosine")
    torch.save(source.state_dict(), tmp_path / "w.pt")
    model = make_network(SmallCNN, 7, 1, "cosine", str(tmp_path / "w.pt"))
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    source = SmallCNN(7)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    assert torch.equal(make_network(SmallCNN, 7, 3, weights="~/w.pt").fc.weight, source.fc.weight)


def test_initial_weights_come_from_the_global_generator():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(make_network(ProjectionBehind, 7, 3, "cosine").output.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(SmallCNN, widht=3), "model cannot be made by SmallCNN .got an unexpected keyword argument 'widht'"),
        (WideResNet, "model cannot be made by WideResNet .missing a required argument: 'depth'"),
        (
            lambda num_classes: nn.Linear(1, num_classes),
            "model cannot be made by <lambda> .got an unexpected .*'in_chan",
        ),
        (lambda num_classes, in_channels: "net", "_target_ must make a network .* made a str"),
    ],
)
def test_what_makes_no_network_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make_network(make, 7, 3)


def test_an_error_within_a_network_is_its_own():
    def broken(num_classes: int, in_channels: int) -> nn.Module:
        raise TypeError("of the network")

    with pytest.raises(TypeError, match="of the network"):
        make_network(broken, 7, 3)


def test_the_models_are_light_to_import():
    heavy = ["timm", "torchvision", "safetensors", "pytorch_lightning", "hydra"]
    program = f"import sys, oponm.models; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_classifier_is_found_by_its_output_and_replaced_there():
    model = make_network(WithOthersOfThatSize, 7, 3, "cosine", image_size=(8, 8))
    assert [name for name, part in model.named_modules() if isinstance(part, CosineClassifier)] == ["output"]


def test_the_classifier_may_be_named():
    assert find_classifier(make_network(HeadOfTwoLayers, 7, 3, classifier="head", image_size=(8, 8)))[0] == "head"
    with pytest.raises(InputError, match="classifier is stem, whose output is not the logits"):
        make_network(HeadOfTwoLayers, 7, 3, classifier="stem", image_size=(8, 8))
    with pytest.raises(InputError, match="classifier needs image_size"):
        make_network(HeadOfTwoLayers, 7, 3, classifier="head")
