from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.training.weights import load_weights

SPLIT = {"class_names": ["a", "b"], "split_digest": "0" * 64}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("prefix", ["model.", "", "module.", "model.module."])
def test_a_checkpoint_gives_weights_and_split(prefix, tmp_path):
    source, model = SmallCNN(4), SmallCNN(4)
    weights = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"state_dict": weights, "split": SPLIT, "epoch": 3}, tmp_path / "last.ckpt")
    assert load_weights(model, tmp_path / "last.ckpt") == SPLIT
    assert equal(model, source)


def test_a_plain_state_dict_says_nothing_of_its_split(tmp_path):
    source, model = SmallCNN(4), SmallCNN(4)
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    assert load_weights(model, tmp_path / "weights.pt") == {}
    assert equal(model, source)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: SmallCNN(5),
            r"last\.ckpt does not fit SmallCNN: fc\.weight is \(5, 64\), the model's is \(4, 64\) and 1 more; choose",
        ),
        (
            lambda: nn.Sequential(SmallCNN(4)),
            r"does not fit SmallCNN: convs\.0\.weight is missing and \d+ more; choose the model and data",
        ),
    ],
    ids=["other classes", "other network"],
)
def test_every_tensor_has_to_fit_the_classifier_s_too(make, words, tmp_path):
    model = SmallCNN(4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": make().state_dict()}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=words) as error:
        load_weights(model, tmp_path / "last.ckpt")
    assert error.value.key == "checkpoint"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_of_a_run_that_diverged_are_refused(tmp_path):
    source = SmallCNN(4)
    with torch.no_grad():
        source.fc.bias[0] = float("inf")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"checkpoint .*not finite: its training had diverged"):
        load_weights(SmallCNN(4), tmp_path / "last.ckpt")
