from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from oponm.errors import InputError
from oponm.models import CosineClassifier, find_classifier, replace_classifier, with_head
from oponm.models.classifier import find_linear_classifier
from tests.models.networks import NETWORKS, ProjectionBehind, images, make, predict

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@every_network
@pytest.mark.parametrize("kind", ["standard", "dar"])
def test_the_classifier_is_found_under_its_name(name, kind):
    model = make(name, kind)
    found, layer = find_classifier(model, num_classes=7)
    assert found == NETWORKS[name][1]
    assert layer is model.get_submodule(found)
    outputs = []
    layer.register_forward_hook(lambda *hook: outputs.append(hook[2]))
    assert torch.equal(model.eval()(images()), outputs[0])


def test_without_a_number_of_classes_the_last_linear_layer_is_taken():
    assert find_classifier(ProjectionBehind())[0] == "projection"
    assert find_classifier(ProjectionBehind(), 7)[0] == "output"


def test_of_two_layers_that_fit_the_last_is_taken():
    assert find_classifier(nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5)), 5)[0] == "2"


def test_a_network_that_is_one_layer():
    layer = nn.Linear(3, 2)
    assert find_classifier(layer) == ("", layer)
    assert isinstance(with_head(layer, "cosine"), CosineClassifier)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 7, 1)), "Sequential has no classifier with 7 outputs"),
        (lambda: nn.Sequential(nn.Linear(3, 8)), "Sequential has no classifier with 7 outputs"),
        (lambda: torchvision.models.squeezenet1_1(num_classes=7), "SqueezeNet has no classifier with 7 outputs"),
        (lambda: timm.create_model("resnet18", num_classes=8), "ResNet has no classifier with 7 outputs"),
        (
            lambda: timm.create_model("resnet18", num_classes=0),
            "ResNet ends in a Identity, which is not a single layer",
        ),
        (
            lambda: timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7),
            "VisionTransformerDistilled ends in a tuple, which is not a single layer",
        ),
    ],
    ids=["conv", "other number", "squeezenet", "timm other number", "timm without", "timm with two"],
)
def test_a_network_without_one_classifier_is_refused(network, words):
    with torch.device("meta"), pytest.raises(InputError, match=words):
        find_classifier(network(), 7)


def test_a_convolution_may_be_timm_s_classifier_but_is_no_linear_one():
    with torch.device("meta"):
        model = timm.create_model("dla34", num_classes=7)
    assert find_classifier(model, 7)[0] == "fc"
    with pytest.raises(InputError, match=r"must be an nn\.Linear, and is a Conv2d: choose another network"):
        find_linear_classifier(model, 7)
    with pytest.raises(InputError, match=r"head cannot be cosine: the classifier must be an nn\.Linear, and is a"):
        with_head(model, "cosine")


@every_network
def test_a_cosine_head(name):
    model = make(name)
    features, path = [], NETWORKS[name][1]
    assert with_head(model, "cosine", scale=5.0, num_classes=7) is model
    found, head = find_classifier(model, 7)
    assert found == path
    assert isinstance(head, CosineClassifier)
    assert head.scale == 5
    assert head.training == model.training
    head.register_forward_hook(lambda *hook: features.append(hook[1][0]))
    logits = model.eval()(images())
    assert logits.shape == (4, 7)
    assert logits.abs().max() <= 5
    torch.testing.assert_close(logits, head(features[0]))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert head.weight.grad.any()


def test_a_linear_head_leaves_the_network_as_it_is():
    model = make("small")
    before, layer = predict(model), model.fc
    assert with_head(model, "linear") is model
    assert model.fc is layer
    assert torch.equal(predict(model), before)


def test_a_new_head_takes_over_precision_device_and_mode():
    model = make("small").double().eval()
    replace_classifier(model, nn.Linear(16, 3))
    assert model.fc.weight.dtype == torch.float64
    assert not model.fc.training
    with torch.device("meta"):
        model = make("small")
    assert with_head(model, "cosine").fc.weight.is_meta


@pytest.mark.parametrize("head", ["Cosine", "mlp", None])
def test_another_head_is_refused(head):
    with pytest.raises(InputError, match="head must be one of linear, cosine, got") as error:
        with_head(make("small"), head)
    assert error.value.key == "head"
