from __future__ import annotations

import pytest
import torch

from oponm.data import DigitsLT
from oponm.training import PhasePlan, evaluate, train
from oponm.training.weights import load_weights
from tests.training.small import OPEN, make_module


def run(folder, **options):
    data = DigitsLT(imbalance_ratio=20, **options)
    data.setup()
    module = make_module(data)
    return module, data, train(module, data, PhasePlan(OPEN, 6), folder, accelerator="cpu")


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    return folder, *run(folder, val="split", val_size=10)


def test_the_validation_set_is_held_out_before_the_tail_is_drawn(validated):
    data = validated[2]
    assert data.val_counts == [10] * 10
    assert data.class_counts[0] == 118
    train_pixels = {image.numpy().tobytes() for image in data.train_set.images}
    assert not train_pixels & {image.numpy().tobytes() for image in data.val_set.images}


def test_the_best_epoch_is_kept_beside_the_last(validated):
    folder, module, data, result = validated
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert result["validation"] == "split"
    assert result["data_facts"]["validation"] == "held out of the training images"
    best = make_module(data, seed=3)
    load_weights(best.model, folder / "checkpoints/best.ckpt")
    assert evaluate(best, data, accelerator="cpu")["metrics"] == result["best"]["metrics"]
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in module.model.state_dict().items():
        assert torch.equal(tensor, last[f"model.{name}"])
    assert 0 <= result["best"]["epoch"] < 6


def test_the_figures_of_the_last_epoch_are_those_of_the_last_weights(validated):
    folder, _, data, result = validated
    last = make_module(data, seed=3)
    load_weights(last.model, folder / "checkpoints/last.ckpt")
    measured = evaluate_on_validation(last, data)
    assert result["validation_metrics"]["val/balanced_accuracy"] == pytest.approx(measured, abs=1e-5)


def evaluate_on_validation(module, data):
    tested, data.test_set = data.test_set, data.val_set
    measured = evaluate(module, data, accelerator="cpu")["metrics"]["balanced_accuracy"]
    data.test_set = tested
    return measured


def test_the_figure_of_the_best_epoch_is_that_of_the_validation_set(validated):
    folder, _, data, result = validated
    module = make_module(data, seed=3)
    load_weights(module.model, folder / "checkpoints/best.ckpt")
    measured = evaluate_on_validation(module, data)
    assert measured == pytest.approx(result["best"]["val/balanced_accuracy"], abs=1e-5)


def test_testing_on_the_test_set_is_said(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        _, data, result = run(tmp_path, val="test")
    assert "test set doubles as validation set" in caplog.text
    assert result["validation"] == "test"
    assert data.val_counts == data.test_counts
    assert result["best"]["val/balanced_accuracy"] == pytest.approx(
        result["best"]["metrics"]["balanced_accuracy"], abs=1e-5
    )


def test_validation_changes_nothing_about_training(tmp_path):
    without = run(tmp_path / "a", val="none")[0]
    watched = run(tmp_path / "b", val="test")[0]
    for (name, tensor), other in zip(
        without.model.state_dict().items(), watched.model.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name
