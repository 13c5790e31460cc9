"""Averages of the weights are what is validated, tested and kept, with phases, the phase cache and resumption."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from oponm.errors import InputError
from oponm.training import Phase, PhaseCache, PhasePlan, train
from oponm.training.callbacks import ExponentialAverage, StochasticAverage
from oponm.training.schedule import cosine_schedule
from oponm.training.weights import load_state
from tests.integration.test_resume import KillAt, Killed
from tests.training.small import make_data, make_module

METHODS = {
    "open": [Phase(2), Phase(2, "class_balanced", noise=True)],
    "crt": [Phase(2), Phase(2, trainable="classifier", reset_classifier=True, schedule=cosine_schedule)],
}
AVERAGES = {"ema": lambda: ExponentialAverage(decay=0.8), "swa": lambda: StochasticAverage(start=0.5)}


class Ends(pl.Callback):
    """Keeps the weights at the end of each epoch."""

    changes_nothing = True

    def __init__(self) -> None:
        self.weights = []

    def on_train_epoch_end(self, trainer, module):
        self.weights.append({name: tensor.clone() for name, tensor in module.model.state_dict().items()})


def run(folder: Path, method: str, *callbacks, resume=False, cache=None, epochs=4):
    data = make_data(val="split", val_size=5)
    module = make_module(data)
    state = load_state(folder / "checkpoints/last.ckpt") if resume else None
    plan, loggers = (
        PhasePlan(METHODS[method] if isinstance(method, str) else method, epochs),
        [CSVLogger(folder, name="", version="")],
    )
    result = train(
        *(module, data, plan, folder, loggers, cache, state),
        checkpoint_every_n_steps=1,
        callbacks=callbacks,
        accelerator="cpu",
    )
    return module.model.state_dict(), list(csv.DictReader((folder / "metrics.csv").open())), result


def kept(folder: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    weights = torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
    return {key.removeprefix("model."): tensor for key, tensor in weights.items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("average", AVERAGES)
def test_the_average_is_what_is_kept(tmp_path, average):
    plain = run(tmp_path / "plain", "open")
    weights, rows, result = run(tmp_path / "run", "open", AVERAGES[average]())
    assert_equal(weights, kept(tmp_path / "run"))
    assert any(not torch.equal(tensor, plain[0][name]) for name, tensor in weights.items())
    assert [row["train/loss"] for row in rows] == [row["train/loss"] for row in plain[1]]  # training is as ever
    assert result["metrics"] != plain[2]["metrics"]
    best = result["best"]
    highest = max(float(row["val/balanced_accuracy"] or 0) for row in rows)
    assert best["val/balanced_accuracy"] == pytest.approx(highest, abs=1e-6)


def test_the_average_follows_the_weights_in_a_short_run():
    average = ExponentialAverage(decay=0.999)
    value, torchs = torch.zeros(1), torch.optim.swa_utils.get_ema_avg_fn(0.999)
    fixed = value
    for number in range(1, 101):  # the weights are 1 from the first step
        value = average._average(value, torch.ones(1), torch.tensor(number))
        fixed = torchs(fixed, torch.ones(1), number)
    assert value.item() > 0.999
    assert fixed.item() < 0.1
    late = average._average(torch.zeros(1), torch.ones(1), torch.tensor(10_000_000))
    assert late.item() == pytest.approx(0.001)
    counts = average._average(torch.tensor(3), torch.tensor(7), torch.tensor(5))
    assert counts.item() == 7


def test_the_mean_is_that_of_the_last_epochs(tmp_path):
    ends = Ends()
    weights, rows, _ = run(tmp_path / "run", "open", ends, StochasticAverage(start=0.5))
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            expected = torch.stack([weights[name] for weights in ends.weights[2:]]).mean(0)
            assert torch.allclose(tensor, expected, atol=1e-6), name
    plain = run(tmp_path / "plain", "open")[1]
    first = [[row["val/accuracy"] for row in each if row["val/accuracy"]][:2] for each in (rows, plain)]
    assert first[0] == first[1]  # before the mean begins, the weights themselves are validated


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [2, 3, 6, 8, 9, 11])
def test_killed_it_resumes_to_the_same_bits(tmp_path, average, method, step):
    whole = run(tmp_path / "whole", method, AVERAGES[average]())
    with pytest.raises(Killed):
        run(tmp_path / "run", method, AVERAGES[average](), KillAt(step, "step"))
    resumed = run(tmp_path / "run", method, AVERAGES[average](), resume=True)
    assert_equal(whole[0], resumed[0])
    assert_equal(kept(tmp_path / "whole", "best.ckpt"), kept(tmp_path / "run", "best.ckpt"))
    assert whole[1] == resumed[1]
    assert whole[2]["metrics"] == resumed[2]["metrics"]


def test_phases_are_shared_with_runs_of_the_same_average_alone(tmp_path):
    cache = PhaseCache(tmp_path / "phases")
    plain = run(tmp_path / "plain", "open", cache=cache)
    assert plain[2]["reused"] is None
    scratch = run(tmp_path / "scratch", "open", ExponentialAverage(decay=0.8))
    for number, (decay, reused) in enumerate([(0.8, False), (0.8, True), (0.9, False)]):
        found = run(tmp_path / f"{number}", "open", ExponentialAverage(decay=decay), cache=cache)
        assert bool(found[2]["reused"]) == reused
        if decay == 0.8:
            assert_equal(found[0], scratch[0])
            assert found[1] == scratch[1]


@pytest.mark.parametrize("part", ["scale", "scaled_classifier"])
@pytest.mark.parametrize("average", AVERAGES)
def test_a_factor_of_the_classifier_has_no_average(tmp_path, average, part):
    with pytest.raises(InputError, match="callbacks cannot average the weights of a method that adds a scale"):
        run(tmp_path, [Phase(1), Phase(1, trainable=part)], AVERAGES[average]())
    assert not list(tmp_path.iterdir())


def test_two_averages_have_no_room_in_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="callbacks contain several averages of the weights"):
        run(tmp_path, "open", *(make() for make in AVERAGES.values()))
    assert not list(tmp_path.iterdir())
