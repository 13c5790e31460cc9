from __future__ import annotations

import json

import pytest
import torch

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.inference import load_classifier
from oponm.training import fit
from oponm.training.temperature import best_temperature, temperature_of


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_it_finds_the_temperature_that_the_answers_were_drawn_at(true):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 5, generator=generator)
    targets = torch.multinomial((logits / true).softmax(1), 1, generator=generator).squeeze(1)
    assert best_temperature(logits, targets) == pytest.approx(true, rel=0.05)


def test_it_is_where_the_loss_has_no_slope():
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(50) % 4
    logits = torch.randn(50, 4, generator=generator).double() + torch.nn.functional.one_hot(targets, 4)
    scale = torch.tensor(1 / best_temperature(logits, targets), dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(logits * scale, targets).backward()
    assert abs(scale.grad.item()) < 1e-4


def test_answers_without_a_best_temperature_stay_in_range():
    logits = torch.tensor([[5.0, 0.0]])
    assert 0.01 <= best_temperature(logits, torch.tensor([0])) < 0.2  # the loss is zero to the last bit below
    assert best_temperature(logits, torch.tensor([1])) == pytest.approx(100, rel=1e-3)


OPTIONS = {"method": "open", "max_epochs": 4, "phase_cache": "off"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run without and with a temperature."""
    folder, data = tmp_path_factory.mktemp("runs"), DigitsLT(imbalance_ratio=20, val="split")
    plain = fit(data, output_dir=folder / "plain", **OPTIONS)
    return plain, fit(data, output_dir=folder / "scaled", temperature_scaling=True, **OPTIONS)


def weights_of(run, name="last"):
    return torch.load(run.folder / f"checkpoints/{name}.ckpt", weights_only=True)


def test_probabilities_change_and_answers_do_not(runs):
    plain, scaled = runs
    assert scaled.result["temperature"] != 1
    assert "temperature" not in plain.result
    assert scaled.recall == plain.recall
    assert scaled.metrics["ece"] != plain.metrics["ece"]
    images = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits = plain.classifier.network(images / 255)
    divided = scaled.classifier.network(images / 255)
    torch.testing.assert_close(divided, logits / scaled.result["temperature"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_checkpoint_s_weights_are_divided_and_those_of_training_kept(runs, name):
    plain, scaled = (weights_of(run, name) for run in runs)
    temperature = temperature_of(runs[1].folder / f"checkpoints/{name}.ckpt")
    assert temperature_of(runs[0].folder / f"checkpoints/{name}.ckpt") is None
    for key, tensor in plain["state_dict"].items():
        expected = tensor / temperature if key.startswith("model.fc.") else tensor
        torch.testing.assert_close(scaled["state_dict"][key], expected)
        assert torch.equal(scaled["training"]["unfinished"][key.removeprefix("model.")], tensor)
    if name == "last":
        assert temperature == runs[1].result["temperature"]


def test_a_run_that_was_killed_after_it_measures_the_same(runs):
    _, scaled = runs
    before, result = weights_of(scaled), scaled.folder / "result.json"
    expected = json.loads(result.read_text())
    result.unlink()
    data = DigitsLT(imbalance_ratio=20, val="split")
    again = fit(data, output_dir=scaled.folder, resume=True, temperature_scaling=True, **OPTIONS)
    for key in ("metrics", "recall", "temperature", "best"):
        assert again.result[key] == expected[key]
    after = weights_of(again)
    assert all(torch.equal(after["state_dict"][name], tensor) for name, tensor in before["state_dict"].items())


def test_a_checkpoint_has_the_probabilities_and_the_shares(runs):
    _, scaled = runs
    known = load_classifier(scaled.folder / "checkpoints/last.ckpt")
    images = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    rows = [prediction.probabilities for prediction in scaled.predict(images)]
    torch.testing.assert_close(known.probabilities(images), torch.tensor(rows), atol=1e-6, rtol=0)
    assert known.prior == pytest.approx([0.1] * 10)


@pytest.mark.parametrize(
    ("val", "options", "message"),
    [
        ("none", {}, "needs validation images to fit on: set data.val=split"),
        ("split", {"head": "cosine"}, "model.head=linear"),
    ],
)
def test_what_it_needs_is_said_before_training(tmp_path, val, options, message):
    data = DigitsLT(imbalance_ratio=20, val=val)
    with pytest.raises(InputError, match=message) as error:
        fit(data, output_dir=tmp_path / "run", temperature_scaling=True, **OPTIONS, **options)
    assert error.value.key.endswith("temperature_scaling")
    assert not (tmp_path / "run").exists()
