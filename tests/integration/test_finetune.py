"""``experiment=finetune``, with weights in a file in place of the published ones, which are downloaded."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from omegaconf import OmegaConf
from packaging.version import Version
from safetensors.torch import save_file

from oponm.inference import load_classifier, read_run_facts
from oponm.models import timm_model
from oponm.nn import convert_batchnorm
from oponm.report import read_report
from tests.cli.command import oponm
from tests.cli.runs import make_photos

NETWORKS = {"resnet18": "fc.weight", "vit_tiny_patch16_224": "head.weight"}


@pytest.fixture(scope="module", params=list(NETWORKS))
def trained(request, tmp_path_factory):
    """The network's name, its published weights and the folder of a run that was fine-tuned from them."""
    folder, name = tmp_path_factory.mktemp("finetune"), request.param
    if name.startswith("vit") and Version(timm.__version__) < Version("1.0.31"):
        pytest.skip("this timm reads these weights in a form that the stand-in below does not have")
    torch.manual_seed(0)
    published = timm.create_model(name)
    for each, tensor in published.named_buffers():
        if each.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
    save_file(published.state_dict(), folder / "published.safetensors")
    photos = make_photos(folder / "photos", 12)
    done = oponm(
        *("train", "experiment=finetune", f"data.root={photos}", f"model.name={name}", "data.image_size=32"),
        *("+model.pretrained_cfg_overlay.file=published.safetensors", "optimizer.lr=1e-5"),
        *("trainer.max_epochs=2", "output_dir=run", "trainer.precision=32-true", "data.batch_size=8"),
        *("optimizer.layer_decay=0.8", "trainer.accelerator=cpu", "phase_cache=off"),
        *(("norm=standard",) if "vit" in name else ()),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return name, published.state_dict(), folder / "run"


def test_the_run_begins_with_the_published_weights(trained):
    name, published, run = trained
    # At this rate nothing moves far, so what is near the published weights has begun there; the classifier is new.
    weights = load_classifier(run / "checkpoints/last.ckpt").network.state_dict()
    compared = [each for each in weights if weights[each].shape == published[each].shape and "running" not in each]
    compared = [each for each in compared if weights[each].is_floating_point()]
    assert len(compared) >= len(weights) - 2 - sum("running" in each or "num_batches" in each for each in weights) - 1
    for each in compared:
        torch.testing.assert_close(weights[each], published[each], atol=1e-3, rtol=0)
    assert weights[NETWORKS[name]].shape[0] == 3


@pytest.mark.parametrize("kind", ["dar", "aux"])
def test_noise_statistics_begin_with_the_published_ones(tmp_path, kind):
    published = timm.create_model("resnet18").state_dict()
    published["layer1.0.bn1.running_mean"].fill_(0.25)
    save_file(published, tmp_path / "published.safetensors")
    overlay = {"file": str(tmp_path / "published.safetensors")}
    model = timm_model("resnet18", num_classes=3, pretrained=True, pretrained_cfg_overlay=overlay)
    layer = convert_batchnorm(model, kind).layer1[0].bn1
    assert layer.running_mean.unique().tolist() == [0.25]
    if kind == "aux":
        assert layer.aux_running_mean.unique().tolist() == [0.25]


def test_what_was_chosen_is_recorded(trained):
    name, _, run = trained
    config = OmegaConf.load(run / "config.yaml")
    mean = [0.5] * 3 if "vit" in name else [0.485, 0.456, 0.406]
    assert list(config.data.statistics["mean"]) == mean
    assert config.trainer.channels_last is False
    assert config.model.get("img_size") == (32 if "vit" in name else None)
    assert load_classifier(run / "checkpoints/last.ckpt").statistics.mean == tuple(mean)


def test_rates_differ_by_part(trained):
    state = torch.load(trained[2] / "checkpoints/last.ckpt", weights_only=True)
    (optimizer,) = state["optimizer_states"]
    rates = [group["initial_lr"] for group in optimizer["param_groups"]]
    assert rates[-1] == 1e-5
    assert min(rates) < 1e-6 / 2
    assert {group["weight_decay"] for group in optimizer["param_groups"]} == {0, 0.05}


def test_the_table_says_how_it_was_trained(trained):
    name, _, run = trained
    result = json.loads((run / "result.json").read_text())
    table = repr(read_report([run]))
    assert ("open (no batch norm)" in table) == ("vit" in name)
    facts = read_run_facts(run / "checkpoints/last.ckpt", result["content_digest"])
    assert facts.no_batch_norm == ("vit" in name)
    assert result["choices"]["callbacks"] == "ema"
    assert result["choices"]["optimizer"] == "adamw"
