"""Lightning's own trainer trains what the module's plan says, or says why it cannot."""

from __future__ import annotations

import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from oponm.errors import InputError
from oponm.training import PhasePlan, train
from tests.training.small import OPEN, make_data, make_module

OPTIONS = {"accelerator": "cpu", "enable_checkpointing": False}
OPTIONS |= {"enable_progress_bar": False, "enable_model_summary": False}


def planned(epochs: int = 4):
    data = make_data()
    module = make_module(data)
    module.plan = PhasePlan(OPEN, epochs)
    return module, data


@pytest.mark.parametrize("reload", [0, 1])
def test_a_plain_trainer_trains_the_phases_to_the_same_bits(tmp_path, reload):
    module, data = planned()
    logger = CSVLogger(tmp_path / "plain", name="", version="")
    options = {**OPTIONS, "reload_dataloaders_every_n_epochs": reload}
    pl.Trainer(max_epochs=4, logger=logger, **options).fit(module, data)
    with (tmp_path / "plain/metrics.csv").open() as file:
        shares = [float(row["noise_share"]) for row in csv.DictReader(file)]
    assert shares[:2] == [0, 0]
    assert min(shares[2:]) > 0
    other, data = planned()
    train(other, data, PhasePlan(OPEN, 4), tmp_path / "own", accelerator="cpu")
    expected = other.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in module.model.state_dict().items())


def test_a_trainer_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"^max_epochs of the trainer is 8, and the module's plan has 4 epochs"):
        pl.Trainer(max_epochs=8, logger=False, **OPTIONS).fit(*planned())


def test_loaders_without_a_data_module_are_refused():
    module, data = planned()
    with pytest.raises(InputError, match=r"^datamodule must be one of oponm\.data"):
        pl.Trainer(max_epochs=4, logger=False, **OPTIONS).fit(module, DataLoader(data.train_set.targets))
