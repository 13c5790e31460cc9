from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from oponm.errors import InputError
from oponm.training import Phase, PhasePlan, train
from oponm.training.callbacks import EarlyStopping
from oponm.training.weights import load_state
from tests.integration.test_resume import KillAt, Killed
from tests.training.small import make_data, make_module


def run(folder, *callbacks, resume=False):
    data = make_data(val="split", val_size=5)
    module = make_module(data)
    state = load_state(folder / "checkpoints/last.ckpt") if resume else None
    plan = PhasePlan([Phase(5), Phase(5, "class_balanced", noise=True)], 10)
    result = train(
        *(module, data, plan, folder, [], None, state),
        checkpoint_every_n_steps=1,
        callbacks=callbacks,
        accelerator="cpu",
    )
    return module, result


def stopping(kind=EarlyStopping):
    return kind("train/loss", patience=1, min_delta=100.0)  # nothing ever gets better by as much


def test_it_waits_for_the_last_phase(tmp_path):
    _, result = run(tmp_path / "run", stopping())
    assert result["epochs"] == 7
    assert result["phases"][-1]["start"] == 5
    assert run(tmp_path / "lightning", stopping(pl.callbacks.EarlyStopping))[1]["epochs"] == 2


@pytest.mark.parametrize("step", [4, 16, 17, 18, 20])
def test_killed_it_resumes_and_stops_where_it_would_have(tmp_path, step):
    whole = run(tmp_path / "whole", stopping())
    with pytest.raises(Killed):
        run(tmp_path / "run", stopping(), KillAt(step, "step"))
    for _ in range(2):  # the second time training is over
        module, result = run(tmp_path / "run", stopping(), resume=True)
        assert result["epochs"] == 7
        assert result["metrics"] == whole[1]["metrics"]
        weights = whole[0].model.state_dict()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in module.model.state_dict().items())


def test_a_figure_that_nothing_logs_is_named(tmp_path):
    with pytest.raises(InputError, match=r"callbacks watches val/nothing, which is not among .*val/balanced_accuracy"):
        run(tmp_path / "run", EarlyStopping("val/nothing"))
    assert load_state(tmp_path / "run/checkpoints/last.ckpt")["epoch"] == 0  # not first in the last phase


@pytest.mark.parametrize("options", [{"patience": "x"}, {"patience": -1}, {"min_delta": "much"}], ids=str)
def test_settings_that_are_no_numbers_are_refused(options):
    (key,) = options
    with pytest.raises(InputError, match=f"^{key} must be"):
        EarlyStopping("val/balanced_accuracy", **options)
