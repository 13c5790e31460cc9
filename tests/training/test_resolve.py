from __future__ import annotations

import logging

import pytest
import torch
from omegaconf import OmegaConf

from oponm.errors import InputError
from oponm.training.resolve import resolve, warn_of_pretrained

TIMM = {"_target_": "oponm.models.timm_model", "name": "resnet18"}
VIT = {"_target_": "oponm.models.timm_model", "name": "vit_tiny_patch16_224"}
VISION = {"_target_": "oponm.models.torchvision_model", "name": "resnet18"}
SMALL = {"_target_": "oponm.models.SmallCNN"}


def config(model=SMALL, data=None, optimizer=None, **trainer):
    trainer = {"accelerator": "cpu", "precision": "32-true", "channels_last": False, **trainer}
    data = {"statistics": "own", "image_size": None, **(data or {})}
    return OmegaConf.create({"trainer": trainer, "model": model, "data": data, "optimizer": optimizer or {}})


def processor(monkeypatch, **found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)


@pytest.mark.parametrize(
    ("found", "precision", "last"),
    [
        ({"avx512_bf16": True}, "bf16-mixed", True),
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16-mixed", True),
        ({"architecture": "aarch64", "bf16": True}, "bf16-mixed", True),
        ({"avx512_f": True, "avx2": True}, "32-true", False),
    ],
)
def test_the_processor_chooses(monkeypatch, found, precision, last):
    processor(monkeypatch, **found)
    chosen = config(precision="auto", channels_last="auto")
    resolve(chosen)
    assert (chosen.trainer.precision, chosen.trainer.channels_last) == (precision, last)


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_an_accelerator_that_is_not_there_is_refused(monkeypatch, accelerator):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"is {accelerator}, but torch finds no such device on this machine") as error:
        resolve(config(accelerator=accelerator))
    assert error.value.key == "trainer.accelerator"


def test_a_torch_that_cannot_say_takes_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    chosen = config(precision="auto")
    resolve(chosen)
    assert chosen.trainer.precision == "32-true"


def test_what_was_chosen_is_said(monkeypatch, caplog):
    processor(monkeypatch, avx512_bf16=True)
    with caplog.at_level(logging.INFO):
        resolve(config(precision="auto", channels_last="auto"))
    assert "trainer.precision=auto: bf16-mixed, on cpu" in caplog.text
    assert "trainer.channels_last=auto: true" in caplog.text


@pytest.mark.parametrize(("precision", "fast", "warns"), [("bf16-mixed", False, True), ("bf16-mixed", True, False)])
def test_a_slow_choice_warns_once(monkeypatch, caplog, precision, fast, warns):
    processor(monkeypatch, avx512_bf16=fast)
    chosen = config(precision=precision)
    resolve(chosen)
    assert chosen.trainer.precision == precision
    assert caplog.text.count("is about twice as slow as 32-true on this processor") == warns


def test_what_is_chosen_stays(monkeypatch):
    chosen = config(precision="16-mixed", channels_last=True)
    before = OmegaConf.to_container(chosen)
    resolve(chosen)
    assert OmegaConf.to_container(chosen) == before


@pytest.mark.parametrize(
    ("model", "mean", "size"),
    [
        (TIMM, [0.485, 0.456, 0.406], 224),
        (VIT, [0.5, 0.5, 0.5], 224),
        (VISION, [0.485, 0.456, 0.406], 224),
        ({**VISION, "name": "inception_v3"}, [0.5, 0.5, 0.5], 299),
        ({**TIMM, "pretrained_cfg_overlay": {"mean": [0.1, 0.2, 0.3]}}, [0.1, 0.2, 0.3], 224),
    ],
)
def test_pretrained_stands_for_the_weights_own(model, mean, size):
    chosen = config(model, {"statistics": "pretrained", "image_size": "pretrained"})
    resolve(chosen)
    assert list(chosen.data.statistics["mean"]) == mean
    assert chosen.data.image_size == size


@pytest.mark.parametrize("key", ["statistics", "image_size"])
@pytest.mark.parametrize("model", [SMALL, {**TIMM, "name": "no_such_network"}])
def test_pretrained_needs_published_weights(key, model):
    with pytest.raises(
        InputError, match=r"cannot be pretrained, as no weights are published for (the network|no_such_network)"
    ) as error:
        resolve(config(model, {key: "pretrained"}))
    assert error.value.key == f"data.{key}"


@pytest.mark.parametrize(("size", "img_size"), [(64, 64), ([64, 32], [64, 32]), (224, None), (None, None)])
def test_a_transformer_is_made_for_the_images(size, img_size):
    chosen = config(VIT, {"image_size": size})
    resolve(chosen)
    assert chosen.model.get("img_size") == img_size


def test_a_convolutional_network_takes_any_size():
    chosen = config(TIMM, {"image_size": 64})
    resolve(chosen)
    assert "img_size" not in chosen.model


IMAGENET = [(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)]
SGD, ADAMW = "torch.optim.SGD", "torch.optim.AdamW"


@pytest.mark.parametrize(
    ("pretrained", "statistics", "optimizer", "lr", "said"),
    [
        (True, IMAGENET, SGD, 0.01, ""),
        (True, IMAGENET, ADAMW, 1e-3, ""),
        (True, IMAGENET, SGD, 0.1, "optimizer.lr=0.1 is likely to destroy pretrained weights: at most 0.02"),
        (True, IMAGENET, ADAMW, 0.01, "at most 0.002"),
        (True, [(0.3, 0.3, 0.3), (0.2, 0.2, 0.2)], SGD, 0.01, "data.statistics=pretrained"),
        (False, [(0.3, 0.3, 0.3), (0.2, 0.2, 0.2)], SGD, 0.1, ""),
    ],
)
def test_what_does_not_suit_pretrained_weights_is_said(caplog, pretrained, statistics, optimizer, lr, said):
    model = {**TIMM, "pretrained": pretrained}
    made = config(model, optimizer={"_target_": optimizer, "lr": lr})
    warn_of_pretrained(made.model, made.optimizer, statistics)
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)
