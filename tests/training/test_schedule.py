from __future__ import annotations

import csv
from functools import partial

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from oponm.errors import InputError
from oponm.training import Phase, PhasePlan, train
from oponm.training.schedule import step_schedule
from tests.training.small import make_data, make_module


def test_the_published_schedule():
    factor = step_schedule(200)
    rates = [0.1 * factor(epoch) for epoch in range(200)]
    expected = [0.02, 0.04, 0.06, 0.08, 0.1] + [0.1] * 155 + [0.001] * 20 + [0.00001] * 20
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("max_epochs", [10, 40, 100, 400])
def test_it_scales_with_the_run(max_epochs):
    factor = step_schedule(max_epochs)
    drops = [epoch for epoch in range(1, max_epochs) if factor(epoch) < factor(epoch - 1)]
    assert drops == [max_epochs * 160 // 200, max_epochs * 180 // 200]
    assert factor(max(round(max_epochs / 40) - 1, 0)) == 1


def test_no_warmup_starts_at_the_full_rate():
    assert step_schedule(200, warmup_epochs=0)(0) == 1


@pytest.mark.parametrize(
    "options", [{"gamma": 2}, {"warmup_epochs": -1}, {"milestones": [0]}, {"reference_epochs": 0}, {"max_epochs": 0}]
)
def test_bad_values_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        step_schedule(**{"max_epochs": 200, **options})


def test_the_first_epoch_of_a_warm_up_trains_at_its_rate(tmp_path):
    """Two epochs of a fifth and two fifths of the rate, and the same rates told one by one."""

    def trained(name, rate, schedule):
        data = make_data()
        module = make_module(data)
        module.make_optimizer = partial(torch.optim.SGD, lr=rate)
        module.schedule = schedule
        logger = CSVLogger(tmp_path / name, name="", version="")
        train(module, data, PhasePlan([Phase(1)], 2), tmp_path / name, [logger], accelerator="cpu")
        with (tmp_path / name / "metrics.csv").open() as file:
            rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
        return module.model.state_dict(), rates

    schedule = step_schedule(max_epochs=200)
    assert [schedule(epoch) for epoch in range(2)] == pytest.approx([0.2, 0.4])
    warmed, rates = trained("warmed", 0.5, schedule)
    told, _ = trained("told", 0.25, [0.4, 0.8].__getitem__)
    assert rates == pytest.approx([0.1, 0.2])
    assert all(torch.equal(tensor, told[name]) for name, tensor in warmed.items())
