from __future__ import annotations

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from torch import nn

from oponm.errors import InputError
from oponm.models import timm_model, torchvision_model
from oponm.models.libraries import use_small_stem
from oponm.nn import convert_batchnorm, noise_routing

both = pytest.mark.parametrize("make", [timm_model, torchvision_model])
TIMM_RESNETS = ["resnet18", "resnet50d", "resnext50_32x4d", "seresnet50", "resnest14d", "resnetaa50", "resnet26t"]
VISION_RESNETS = ["resnet18", "resnext50_32x4d", "wide_resnet50_2"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def sizes_seen(model: nn.Module, size: int, in_channels: int = 3) -> list[int]:
    """Sides of the maps that go into the first and come out of the last stage."""
    seen = []
    model.layer1.register_forward_hook(lambda *hook: seen.append(hook[1][0].shape[-1]))
    model.layer4.register_forward_hook(lambda *hook: seen.append(hook[2].shape[-1]))
    model.eval()(torch.zeros(2, in_channels, size, size, device=next(model.parameters()).device))
    return seen


@both
@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_a_network_by_name(make, in_channels):
    model = make("resnet18", num_classes=7, in_channels=in_channels)
    assert model(torch.randn(2, in_channels, 64, 64)).shape == (2, 7)
    assert sizes_seen(model, 64, in_channels) == [16, 2]


@pytest.mark.parametrize(("make", "library"), [(timm_model, timm.create_model), (torchvision_model, None)])
def test_the_network_is_the_library_s_own(make, library):
    library = library or torchvision.models.get_model
    torch.manual_seed(3)
    expected = library("resnet18", num_classes=7).state_dict()
    torch.manual_seed(3)
    state = make("resnet18", num_classes=7).state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)


@pytest.mark.parametrize(
    ("make", "name"),
    [(timm_model, name) for name in TIMM_RESNETS] + [(torchvision_model, name) for name in VISION_RESNETS],
)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_a_small_stem_keeps_the_size_of_the_images(make, name, in_channels):
    with torch.device("meta"):
        model = make(name, num_classes=7, in_channels=in_channels, small_stem=True)
    assert sizes_seen(model, 32, in_channels) == [32, 4]
    assert all(parameter.is_meta for parameter in model.parameters())


@both
def test_a_small_stem_is_one_convolution_with_he_initialization(make):
    conv = make("resnet18", num_classes=7, small_stem=True).conv1
    assert (conv.weight.shape, conv.stride, conv.padding, conv.bias) == ((64, 3, 3, 3), (1, 1), (1, 1), None)
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_the_small_stem_network_is_the_one_of_the_literature():
    with torch.device("meta"):
        model = timm_model("resnet18", num_classes=10, small_stem=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_173_962


def test_a_deep_stem_keeps_its_weights():
    torch.manual_seed(3)
    expected = timm.create_model("resnet26t", num_classes=7).state_dict()
    torch.manual_seed(3)
    state = timm_model("resnet26t", num_classes=7, small_stem=True).state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)


@both
def test_it_trains_with_routed_batch_norm(make):
    model = convert_batchnorm(make("resnet18", num_classes=7, in_channels=1, small_stem=True), "dar", "full")
    with noise_routing(torch.tensor([False, False, True, True])):
        logits = model(torch.randn(4, 1, 8, 8))
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("make", "name", "class_name"),
    [
        (timm_model, "efficientnet_b0", "EfficientNet"),
        (timm_model, "vit_tiny_patch16_224", "VisionTransformer"),
        (timm_model, "convnext_atto", "ConvNeXt"),
        (timm_model, "resnetv2_18", "ResNetV2"),
        (torchvision_model, "efficientnet_b0", "EfficientNet"),
        (torchvision_model, "convnext_tiny", "ConvNeXt"),
        (torchvision_model, "vit_b_16", "VisionTransformer"),
    ],
)
def test_a_small_stem_is_refused_where_there_is_none(make, name, class_name):
    with torch.device("meta"), pytest.raises(InputError, match=f"is for ResNets .* this is a {class_name}:") as error:
        make(name, num_classes=7, small_stem=True)
    assert error.value.key == "small_stem"


def test_a_network_of_one_s_own_has_no_small_stem():
    with pytest.raises(InputError, match="this is a Linear"):
        use_small_stem(nn.Linear(3, 2))


@both
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", "got 'resnet19'; close to it: .*resnet1"),
        ("efficientnetb0", "close to it: .*efficientnet_b0"),
        ("?", r"got '\?'; \w+\.list_models\(\) lists them"),
        ("", "is no network of"),
        (None, "got None"),
        (18, "got 18"),
    ],
)
def test_an_unknown_name_is_refused_with_those_close_to_it(make, name, words):
    with pytest.raises(InputError, match=words) as error:
        make(name, num_classes=7)
    assert error.value.key == "name"


def test_a_detector_is_no_classifier():
    with pytest.raises(InputError, match="fasterrcnn_resnet50_fpn"):
        torchvision_model("fasterrcnn_resnet50_fpn", num_classes=7)


@pytest.mark.parametrize("options", [{"depht": 3}, {"image_size": 33}], ids=str)
@both
def test_options_that_the_network_does_not_take(make, options):
    name = "vit_b_16" if make is torchvision_model else "vit_tiny_patch16_224"
    with (
        torch.device("meta"),
        pytest.raises(InputError, match=rf"{name} cannot be made with these options \(\w+Error: "),
    ):
        make(name, num_classes=7, **options)


def test_options_reach_the_network():
    with torch.device("meta"):
        model = timm_model("vit_tiny_patch16_224", 7, img_size=32, patch_size=4, depth=1)
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
        assert torchvision_model("mobilenet_v2", 7, dropout=0.7).classifier[0].p == 0.7
        assert torchvision_model("vit_b_16", 7, image_size=32)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_a_tag_that_does_not_exist():
    with pytest.raises(InputError, match=r"resnet18\.foo cannot be made .*Invalid pretrained tag") as error:
        timm_model("resnet18.foo", num_classes=7)
    assert error.value.key == "name"


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("options", [{}, {"aux_logits": True}], ids=str)
def test_side_branches_are_off(name, options):
    with torch.device("meta"):
        model = torchvision_model(name, num_classes=7, init_weights=False, **options)
        assert model.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 7)
    assert not [part for part, _ in model.named_children() if "aux" in part.lower()]


@pytest.mark.parametrize(
    "name",
    [
        "densenet121",
        "efficientnet_b0",
        "mobilenet_v3_small",
        "swin_t",
        "squeezenet1_1",
        "vgg11",
        "vit_b_32",
        "inception_v3",
    ],
)
def test_other_color_channels_change_the_first_convolution_of_torchvision_s_networks(name):
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        plain = torchvision_model(name, 7, **options)
        model = torchvision_model(name, 7, in_channels=1, **options)
        assert model.eval()(torch.zeros(2, 1, 224, 224)).shape == (2, 7)
    other = dict(model.named_parameters())
    changed = [key for key, tensor in plain.named_parameters() if tensor.shape != other[key].shape]
    assert len(changed) == 1
    assert plain.state_dict().keys() == model.state_dict().keys()


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"weights of resnet18 cannot be had .* set model.pretrained=false") as error:
        timm_model("resnet18", num_classes=7, pretrained=True)
    assert error.value.key == "pretrained"
    assert "\n" not in error.value.message


def test_weights_from_the_cache(monkeypatch, tmp_path):
    source = timm.create_model("resnet18", num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.setattr(
        timm.models._builder, "_resolve_pretrained_source", lambda cfg: ("file", tmp_path / "resnet18.pth")
    )
    model = timm_model("resnet18", num_classes=7, pretrained=True, small_stem=True)
    assert torch.equal(model.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    assert model.fc.weight.shape == (7, 512)
    assert model.conv1.weight.shape == (64, 3, 3, 3)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of torchvision's weights: the content of each file by its name."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def publish(hub, name):
    """Put weights of a network where torchvision looks for its default ones."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    state = torchvision.models.get_model(name, **options).state_dict()
    torch.save(state, hub / weights.url.rpartition("/")[2])
    return state


@pytest.mark.parametrize("in_channels", [1, 3])
def test_torchvision_s_weights_with_a_new_classifier(hub, in_channels):
    state = publish(hub, "resnet18")
    made = torchvision_model("resnet18", num_classes=7, in_channels=in_channels, pretrained=True).state_dict()
    assert made.keys() == state.keys()
    assert made["fc.weight"].shape == (7, 512)
    same = [name for name in state if not name.startswith("fc.") and (in_channels == 3 or name != "conv1.weight")]
    assert all(torch.equal(made[name], state[name]) for name in same)
    if in_channels == 1:
        torch.testing.assert_close(made["conv1.weight"], state["conv1.weight"].sum(1, keepdim=True))


@pytest.mark.parametrize("name", ["googlenet"])
def test_pretrained_side_branches_are_left_out(hub, name):
    publish(hub, name)
    model = torchvision_model(name, num_classes=7, pretrained=True)
    assert model.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 7)
    assert model.state_dict().keys() == torchvision_model(name, num_classes=7).state_dict().keys()
    assert model.transform_input is False


def test_weights_that_cannot_be_had_are_named(hub, monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(InputError, match=r"weights of resnet18 cannot be had .*no route to host.*weights") as error:
        torchvision_model("resnet18", num_classes=7, pretrained=True)
    assert error.value.key == "pretrained"
