from __future__ import annotations

import argparse
import logging

import pytest
import safetensors.torch
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import SmallCNN, load_initial_weights, read_weights, with_head
from oponm.models.weights import mismatches, without_prefixes
from oponm.nn import convert_batchnorm
from tests.models.networks import NETWORKS, make, predict


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def small(num_classes: int = 7, **options) -> SmallCNN:
    model = SmallCNN(num_classes, width=4, **options)
    for norm in model.norms:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.running_mean, 0.5, 2)
    return model


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


FORMS = {
    "state dict": (lambda weights, path: torch.save(weights, path), "w.pth"),
    "checkpoint": (lambda weights, path: torch.save({"state_dict": weights, "epoch": 3}, path), "w.ckpt"),
    "legacy": (lambda weights, path: torch.save(weights, path, _use_new_zipfile_serialization=False), "w.pth"),
    "safetensors": (safetensors.torch.save_file, "w.safetensors"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model.module.", "model._orig_mod.", "module.model."])
def test_every_form_of_file_loads(form, prefix, tmp_path, caplog):
    source, model = small(), small()
    save, name = FORMS[form]
    save({f"{prefix}{key}": tensor for key, tensor in source.state_dict().items()}, tmp_path / name)
    load_initial_weights(model, tmp_path / name, 7)
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in model.state_dict().items())
    assert torch.equal(predict(model), predict(source))
    assert not caplog.records


@pytest.mark.parametrize("name", ["resnet", "sequential", "own", "timm convnext", "torchvision mobilenet"])
@pytest.mark.parametrize("classes", [7, 9])
def test_a_classifier_of_other_classes_keeps_its_initial_values(name, classes, tmp_path, caplog):
    source, model = make(name), make(name)
    path = NETWORKS[name][1]
    source.set_submodule(path, nn.Linear(source.get_submodule(path).in_features, classes))
    torch.save(source.state_dict(), tmp_path / "w.pt")
    before, expected = state(model), source.state_dict()
    with caplog.at_level(logging.WARNING):
        load_initial_weights(model, tmp_path / "w.pt", num_classes=7)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key] if classes == 9 and key.startswith(f"{path}.") else expected[key]), key
    if classes == 7:
        assert not caplog.records
    else:
        (record,) = caplog.records
        assert record.name == "oponm.models.weights"
        assert f"{path}.weight is (9, " in record.getMessage()
        assert f"{path}.bias is (9,), the model's is (7,)" in record.getMessage()


def test_a_classifier_is_taken_as_a_whole_or_not_at_all(tmp_path, caplog):
    source, model = small(), with_head(small(), "cosine")
    torch.save(source.state_dict(), tmp_path / "w.pt")
    before = state(model)
    load_initial_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.fc.weight, before["fc.weight"])
    assert torch.equal(model.convs[0].weight, source.convs[0].weight)
    assert "fc.bias is not in the model" in caplog.text


def test_a_file_may_lack_the_classifier(tmp_path, caplog):
    source, model = small(), small()
    weights = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("fc.")}
    torch.save(weights, tmp_path / "w.pt")
    before = state(model)
    load_initial_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.fc.weight, before["fc.weight"])
    assert torch.equal(model.convs[2].weight, source.convs[2].weight)
    assert "fc.weight is missing; fc.bias is missing" in caplog.text


def test_weights_older_than_num_batches_tracked_load(tmp_path, caplog):
    source, model = small(), small()
    weights = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    torch.save(weights, tmp_path / "w.pt")
    load_initial_weights(model, tmp_path / "w.pt")
    assert torch.equal(predict(model), predict(source))
    assert not caplog.records


def test_weights_in_half_precision_load(tmp_path):
    source, model = small().half(), small()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_initial_weights(model, tmp_path / "w.pt")
    assert model.fc.weight.dtype == torch.float32
    assert torch.equal(model.fc.weight, source.fc.weight.float())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("convs.0.weight"), r"does not fit SmallCNN: convs\.0\.weight is missing; choose"),
        (lambda w: w.update(extra=torch.ones(2)), "extra is not in the model; choose"),
        (
            lambda w: w.update({"convs.1.weight": torch.ones(2, 2)}),
            r"convs\.1\.weight is \(2, 2\), the model's is \(8, 4, 3, 3\)",
        ),
        (
            lambda w: [w.pop(name) for name in list(w) if "norms.0" in name or "norms.1" in name],
            r"norms\.0\.weight is missing; .*norms\.0\.running_var is missing; and 4 more; choose",
        ),
        # The classifier's tolerance does not reach what only begins like its name.
        (lambda w: w.update(fcs=torch.ones(2)), "fcs is not in the model"),
    ],
)
def test_any_other_difference_is_refused_and_changes_nothing(change, words, tmp_path):
    weights, model = state(small(9)), small()
    change(weights)
    torch.save(weights, tmp_path / "w.pt")
    before = state(model)
    with pytest.raises(InputError, match=words) as error:
        load_initial_weights(model, tmp_path / "w.pt")
    assert error.value.key == "weights"
    assert "fc." not in error.value.message
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_network_without_classifier_has_to_fit_to_the_last_tensor(tmp_path):
    torch.save({"0.weight": torch.ones(9, 3, 1, 1), "0.bias": torch.ones(9)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"0\.weight is \(9, 3, 1, 1\)"):
        load_initial_weights(nn.Sequential(nn.Conv2d(3, 7, 1)), tmp_path / "w.pt")


class Hostile:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (None, "w.pt", "names no file"),
        (b"text", "w.pt", "is no checkpoint, is damaged, or holds more than tensors"),
        (b"text", "w.safetensors", "is no checkpoint, is damaged, or holds more than tensors"),
        (b"", "w.pt", "is no checkpoint"),
        ({"weight": torch.ones(1), "code": Hostile()}, "w.pt", "is no checkpoint, is damaged, or holds more than"),
        ({}, "w.pt", "holds no weights"),
        ([torch.ones(1)], "w.pt", "holds no weights"),
        (torch.ones(1), "w.pt", "holds no weights"),
        ({"state_dict": {}}, "w.pt", "holds no weights"),
        ({"state_dict": {"a": 1}}, "w.pt", "holds no weights"),
        ({1: torch.ones(1)}, "w.pt", "holds no weights"),
        ({"a": torch.tensor([1.0, float("nan")])}, "w.pt", "holds weights that are not finite"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_files_that_cannot_be_used(content, name, words, tmp_path, capsys):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=words) as error:
        read_weights(path, "weights")
    assert error.value.key == "weights"
    assert str(path) in error.value.message
    assert "executed" not in capsys.readouterr().out


def test_a_run_s_folder_stands_for_its_last_weights(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    trained, model = SmallCNN(7), SmallCNN(7)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "checkpoints/last.ckpt")
    load_initial_weights(model, tmp_path)
    assert torch.equal(model.state_dict()["fc.weight"], trained.state_dict()["fc.weight"])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="names no file"):
        read_weights(tmp_path, "weights")


def test_a_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.zeros(5000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_weights(path, "weights")


def test_what_else_a_file_holds(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "w.pt")
    weights, rest = read_weights(tmp_path / "w.pt", "weights")
    assert weights == {"a": torch.ones(1)}
    assert rest == {"epoch": 3}
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt", "weights")[1] == {}


def test_a_network_s_own_names_are_no_prefixes():
    model = nn.ModuleDict({"model": nn.Linear(2, 3), "module": nn.Linear(3, 2)})
    for prefix in ("", "model.", "module.", "model.module."):
        weights = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
        assert list(without_prefixes(weights, model)) == list(model.state_dict()), prefix


def test_a_file_of_unrelated_names_is_left_as_it_is():
    weights = {"encoder.weight": torch.ones(1)}
    assert without_prefixes(weights, nn.Linear(2, 3)) == weights


def test_mismatches_are_those_that_torch_names():
    model, weights = small(), state(small(9))
    del weights["norms.0.bias"]
    weights["other"] = torch.ones(1)
    found = mismatches(model, weights)
    with pytest.raises(RuntimeError) as error:
        model.load_state_dict(weights)
    assert set(found) == {"norms.0.bias", "other", "fc.weight", "fc.bias"}
    assert all(name in str(error.value) for name in found)
    assert mismatches(model, model.state_dict()) == {}


def test_a_network_converted_afterwards_predicts_the_same(tmp_path):
    source, model = small(), small()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_initial_weights(model, tmp_path / "w.pt")
    assert torch.equal(predict(convert_batchnorm(model, "aux")), predict(source))


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model"])
def test_weights_are_found_under_the_names_that_others_give_them(tmp_path, name):
    linear = nn.Linear(2, 3)
    torch.save({name: linear.state_dict(), "epoch": 3}, tmp_path / "weights.pt")
    weights, rest = read_weights(tmp_path / "weights.pt", "weights")
    assert torch.equal(weights["weight"], linear.weight)
    assert rest == {"epoch": 3}


def test_objects_beside_the_weights_are_named_with_the_remedy(tmp_path):
    torch.save({"model": nn.Linear(2, 3).state_dict(), "args": argparse.Namespace(lr=1)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"argparse.Namespace beside its weights.*save the weights alone"):
        read_weights(tmp_path / "weights.pt", "weights")
