from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from oponm.data.pipeline import RawBatch
from oponm.errors import InputError
from oponm.inference import FORMATS, Classifier, DeployedNetwork, export_classifier, load_classifier
from oponm.inference.formats import check_in_place
from oponm.models import ResNetCifar, WideResNet, resnet20, resnet32, timm_model, torchvision_model, with_head
from tests.cli.command import files_below
from tests.inference.small import MODEL, checkpoint, save, shaken
from tests.inference.without_oponm import run_without

TIMM = {"_target_": "oponm.models.timm_model", "name": "resnet18", "pretrained": False}
TORCHVISION = {"_target_": "oponm.models.torchvision_model", "name": "mobilenet_v3_small", "small_stem": False}


def make(folder: Path, network=None, config=MODEL, channels: int = 3, size: int = 8) -> Classifier:
    network = None if network is None else shaken(network)
    return load_classifier(save(folder, checkpoint(network, channels, size, model_config=config)))


def code_of(card: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", card.read_text(), flags=re.DOTALL)
    return block


def check_by_its_card(classifier: Classifier, file: Path, pixels: torch.Tensor, takes: str, *blocked: str) -> None:
    """Follow the model card in a process without oponm, and compare with the network's own logits."""
    images = {
        "uint8": pixels,
        "unit": pixels.float() / 255,
        "normalized": (pixels.float() / 255 - classifier.pipeline().mean) / classifier.pipeline().std,
    }
    np.save(file.parent / "images.npy", images[takes].numpy())
    start = "import sys\nsys.path.insert(0, '.')\nimport numpy as np\nimages = np.load('images.npy')"
    code = f"{start}\n{code_of(file.parent / 'MODEL_CARD.md')}"
    run_without(f"{code}\nnp.save('logits.npy', np.asarray(logits.tolist()))", file.parent, *blocked)
    expected = classifier.network(images["normalized"])
    found = torch.from_numpy(np.load(file.parent / "logits.npy")).float()
    torch.testing.assert_close(found, expected, atol=1e-4 * max(1.0, float(expected.abs().max())), rtol=0)


def pixels_for(classifier: Classifier, number: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (number, *classifier.image_shape), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("format", "takes"),
    [("onnx", "unit"), ("onnx", "uint8"), ("onnx", "normalized"), ("torchscript", "uint8"), ("torch_export", "unit")],
)
def test_graphs_run_without_oponm(tmp_path, format, takes):
    classifier = make(tmp_path)
    file = export_classifier(classifier, tmp_path / f"out/model{FORMATS[format].extension}", format, takes)[-1]
    blocked = ("torch", "timm", "torchvision") if format == "onnx" else ("timm", "torchvision")
    check_by_its_card(classifier, file, pixels_for(classifier), takes, *blocked)


NETWORKS = {
    "cosine head": (lambda: with_head(resnet20(3), "cosine"), {"_target_": "oponm.models.resnet20", "head": "cosine"}),
    "wide": (
        lambda: WideResNet(depth=10, width=1, num_classes=3),
        {"_target_": "oponm.models.WideResNet", "depth": 10, "width": 1},
    ),
    "timm": (lambda: timm_model("efficientnet_b0", 3), {**TIMM, "name": "efficientnet_b0"}),
    "transformer": (
        lambda: timm_model("vit_tiny_patch16_224", 3, img_size=32, depth=2),
        {**TIMM, "name": "vit_tiny_patch16_224", "img_size": 32, "depth": 2},
    ),
    "torchvision": (lambda: torchvision_model("mobilenet_v3_small", 3), TORCHVISION),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "format"),
    [
        *((network, "onnx") for network in NETWORKS),
        ("timm", "torchscript"),
        ("transformer", "torchscript"),
        ("cosine head", "torch_export"),
        ("torchvision", "torch_export"),
    ],
)
def test_every_kind_of_network_leaves_as_a_graph(tmp_path, network, format):
    build, config = NETWORKS[network]
    classifier = make(tmp_path, build(), config, size=32)
    file = tmp_path / f"out/model{FORMATS[format].extension}"
    assert export_classifier(classifier, file, format)[-1] == file  # compared with the network inside
    assert files_below(tmp_path / "out") == {file.name, "labels.txt", "MODEL_CARD.md"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "config", "channels"),
    [
        (lambda: timm_model("resnet18", 3, 1, small_stem=True), {**TIMM, "small_stem": True}, 1),
        (
            lambda: torchvision_model("resnet18", 3, 1, small_stem=True),
            {**TORCHVISION, "name": "resnet18", "small_stem": True},
            1,
        ),
    ],
    ids=["timm, small stem, grey", "torchvision, small stem, grey"],
)
def test_weights_of_a_library_s_network_load_without_oponm(tmp_path, build, config, channels):
    classifier = make(tmp_path, build(), config, channels, size=32)
    file = export_classifier(classifier, tmp_path / "out/model.pt", "state_dict")[-1]
    check_by_its_card(classifier, file, pixels_for(classifier), "normalized")


OWN = "oponm.models."
MADE = {
    "small_cnn": (None, MODEL, 3),
    "resnet32, grey": (lambda: resnet32(3, 1), {"_target_": f"{OWN}resnet32"}, 1),
    "any depth": (lambda: ResNetCifar(8, 3), {"_target_": f"{OWN}ResNetCifar", "depth": 8}, 3),
    "cosine head": (*NETWORKS["cosine head"], 3),
    "wide": (*NETWORKS["wide"], 3),
    "wide, dropout, cosine head": (
        lambda: with_head(WideResNet(10, 1, 3, dropout=0.3), "cosine"),
        {"_target_": f"{OWN}WideResNet", "depth": 10, "width": 1, "dropout": 0.3, "head": "cosine"},
        3,
    ),
    "deep stem": (
        lambda: timm_model("resnet50d", 3, small_stem=True),
        {**TIMM, "name": "resnet50d", "small_stem": True},
        3,
    ),
    "timm, cosine head": (lambda: with_head(timm_model("resnet18", 3), "cosine"), {**TIMM, "head": "cosine"}, 3),
    "grey torchvision": (lambda: torchvision_model("mobilenet_v3_small", 3, 1), TORCHVISION, 1),
}


@pytest.mark.parametrize("network", MADE)
def test_weights_of_other_networks_load_into_one_of_oponm_by_the_card(tmp_path, monkeypatch, network):
    build, config, channels = MADE[network]
    classifier = make(tmp_path, build and build(), config, channels, size=32)
    file = export_classifier(classifier, tmp_path / "out/model.pt", "state_dict")[-1]
    assert files_below(tmp_path / "out") == {"model.pt", "labels.txt", "MODEL_CARD.md"}
    assert "the network is oponm's" in (file.parent / "MODEL_CARD.md").read_text()
    pixels = pixels_for(classifier).float() / 255
    images = (pixels - classifier.pipeline().mean) / classifier.pipeline().std
    monkeypatch.chdir(file.parent)
    names = {"images": images.numpy()}
    exec(code_of(file.parent / "MODEL_CARD.md"), names)
    torch.testing.assert_close(names["logits"], classifier.network(images))


def test_weights_of_a_network_of_one_s_own_say_what_makes_it(tmp_path):
    known = {"_target_": "mine.nets.Net", "depth": 3, "head": "linear"}
    classifier = make(tmp_path)
    own = Classifier(**{**vars(classifier), "model_config": known})
    export_classifier(own, tmp_path / "out/model.pt", "state_dict")
    assert "model = Net(num_classes=3, in_channels=3, depth=3)" in code_of(tmp_path / "out/MODEL_CARD.md")
    assert "from mine.nets import Net" in code_of(tmp_path / "out/MODEL_CARD.md")
    assert files_below(tmp_path / "out") == {"model.pt", "labels.txt", "MODEL_CARD.md"}


def test_weights_of_a_network_made_in_code_name_its_cosine_classifier(tmp_path):
    classifier = make(tmp_path, with_head(resnet20(3), "cosine"), NETWORKS["cosine head"][1], size=32)
    unknown = Classifier(**{**vars(classifier), "model_config": {}})
    export_classifier(unknown, tmp_path / "out/model.pt", "state_dict")
    code = code_of(tmp_path / "out/MODEL_CARD.md")
    assert "model = ...  # made as it was for training" in code
    assert 'model = with_head(model, "cosine", scale=30.0)' in code


def test_labels_are_in_the_order_of_the_logits(tmp_path):
    classifier = make(tmp_path)
    labels, card, model = export_classifier(classifier, tmp_path / "out/model.pt2", "torch_export")
    assert labels.read_text().splitlines() == classifier.class_names
    assert (card.name, model.name) == ("MODEL_CARD.md", "model.pt2")


def test_onnx_knows_its_labels_and_takes_any_batch(tmp_path):
    import onnxruntime

    file = export_classifier(make(tmp_path), tmp_path / "model.onnx")[-1]
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map["labels"] == '["ants", "bees", "flies"]'
    assert session.get_inputs()[0].shape == ["batch", 3, 8, 8]
    for number in (1, 2, 70):
        (logits,) = session.run(["logits"], {"images": np.zeros((number, 3, 8, 8), np.float32)})
        assert logits.shape == (number, 3)


@pytest.mark.parametrize("takes", ["unit", "uint8", "normalized"])
@pytest.mark.parametrize("format", ["onnx", "torchscript", "torch_export"])
def test_graphs_refuse_what_they_were_not_made_for(tmp_path, format, takes):
    file = export_classifier(make(tmp_path), tmp_path / f"out/model{FORMATS[format].extension}", format, takes)[-1]
    assert "other sizes and types of numbers are refused" in (file.parent / "MODEL_CARD.md").read_text()
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)

        def run(images):
            return session.run(["logits"], {"images": images.numpy()})[0]
    else:
        run = torch.jit.load(file) if format == "torchscript" else torch.export.load(file).module()
    floats, whole = torch.rand(2, 3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    right, wrong = (whole, floats) if takes == "uint8" else (floats, whole)
    assert run(right).shape == (2, 3)
    for images in (wrong, right.repeat(1, 1, 2, 2), right[..., :7], right[:, :1], right.double()):
        with pytest.raises(Exception):  # noqa: B017, PT011  # each library's own
            run(images)


class _Forgetful(torch.nn.Module):
    """Depends on something that no graph records."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.fc = 0, torch.nn.Linear(192, 3)

    def forward(self, x):
        self.calls += 1
        return self.fc(x.flatten(1)) + self.calls


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_a_graph_with_other_logits_is_not_let_out(tmp_path, format):
    classifier = make(tmp_path)
    wrong = Classifier(_Forgetful().eval(), **{k: v for k, v in vars(classifier).items() if k != "network"})
    with pytest.raises(InputError, match="format"):
        export_classifier(wrong, tmp_path / "out/model.bin", format)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["onnx", "onnxruntime", "onnxscript"])
def test_without_onnx_the_remedy_is_named(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r'format is onnx, which needs \w+: pip install "oponm\[export\]"'):
        export_classifier(make(tmp_path), tmp_path / "out/model.onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"format": "tflite"}, "format must be one of state_dict, torchscript, torch_export, onnx"),
        ({"takes": "percent"}, "input must be one of unit, uint8, normalized"),
        ({"format": "state_dict", "takes": "uint8"}, "input must be normalized for state_dict"),
        ({"path": "labels.txt"}, "output must not be labels"),
        ({"path": "MODEL_CARD.md"}, "output must not be MODEL_CARD"),
        ({"path": "last.ckpt"}, "exists"),
    ],
    ids=str,
)
def test_bad_input(tmp_path, arguments, words):
    classifier = make(tmp_path)
    path = tmp_path / arguments.get("path", "model.pt2")
    options = {name: value for name, value in arguments.items() if name != "path"}
    with pytest.raises(InputError, match=words):
        export_classifier(classifier, path, **options)
    assert files_below(tmp_path) == {"last.ckpt"}


def test_weights_too_large_for_one_file_of_onnx_go_beside_it(tmp_path, monkeypatch):
    """From 1.5 GB on, for which a small network stands here; a smaller one in its place takes them away."""
    classifier = make(tmp_path)
    file = tmp_path / "out/model.onnx"
    with monkeypatch.context() as small:
        small.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 1000)
        files = export_classifier(classifier, file, "onnx")
    assert [one.name for one in files] == ["labels.txt", "MODEL_CARD.md", "model.onnx.data", "model.onnx"]
    assert all(one.is_file() for one in files)
    check_by_its_card(classifier, file, pixels_for(classifier), "unit", "torch")
    export_classifier(classifier, file, "onnx", overwrite=True)
    assert not files[-2].exists()
    check_by_its_card(classifier, file, pixels_for(classifier), "unit", "torch")


def test_data_that_is_not_what_was_written_is_noticed(tmp_path, monkeypatch):
    classifier = make(tmp_path)
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 1000)
    (*_, data, file) = export_classifier(classifier, tmp_path / "out/model.onnx", "onnx")
    data.write_bytes(bytes(data.stat().st_size))
    network = DeployedNetwork(classifier.network, classifier.statistics, "unit").eval()
    with pytest.raises(InputError, match="changes the network's logits"):
        check_in_place(network, classifier.image_shape, "unit", file)
    data.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read from its place"):
        check_in_place(network, classifier.image_shape, "unit", file)


def test_each_input_gives_the_logits_of_the_evaluation(tmp_path):
    classifier = load_classifier(save(tmp_path))
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    normalized = classifier.pipeline()(RawBatch(pixels, torch.zeros(5), 0, 0), training=False).images
    expected = classifier.network(normalized)
    for takes, images in (("uint8", pixels), ("unit", pixels.float() / 255), ("normalized", normalized)):
        deployed = DeployedNetwork(classifier.network, classifier.statistics, takes)
        assert torch.equal(deployed(images), expected), takes


def test_other_inputs(tmp_path):
    classifier = load_classifier(save(tmp_path))
    with pytest.raises(InputError, match="input must be one of unit, uint8, normalized"):
        DeployedNetwork(nn.Identity(), classifier.statistics, "percent")
