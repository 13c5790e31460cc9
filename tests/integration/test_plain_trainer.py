"""Lightning's own trainer trains what the module's plan says, or says why it cannot."""

from __future__ import annotations

import csv
import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import FakeData

from oponm.data import DatasetLT, DigitsLT
from oponm.errors import InputError
from oponm.losses import Focal
from oponm.models import SmallCNN
from oponm.training import LongTailModule, Phase, PhasePlan, fit, train
from oponm.training.schedule import cosine_schedule
from tests.cli.command import oponm
from tests.training.small import OPEN, make_data, make_module

OPTIONS = {"accelerator": "cpu", "enable_checkpointing": False}
OPTIONS |= {"enable_progress_bar": False, "enable_model_summary": False}


def small_network(num_classes: int, in_channels: int) -> nn.Module:
    body = SmallCNN(16, in_channels, width=4)
    return nn.Sequential(body, nn.Dropout(0.2), nn.Linear(16, num_classes))


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


@pytest.mark.parametrize("method", ["open", "ldam_drw", "crt", "lws", "tau_norm"])
def test_a_name_for_a_network_and_a_method_is_all_it_takes(tmp_path, method):
    """The weights are those of the command line, with its defaults for the data."""
    threads = torch.get_num_threads()
    done = oponm("train", f"method={method}", "trainer.max_epochs=5", "seed=3", "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = torch.load(tmp_path / "run/checkpoints/last.ckpt")["state_dict"]
    torch.set_num_threads(1)
    try:
        module = LongTailModule("small_cnn", method=method)
        pl.Trainer(max_epochs=5, logger=False, **OPTIONS).fit(module, datamodule=DigitsLT(imbalance_ratio=50, seed=3))
    finally:
        torch.set_num_threads(threads)
    weights = module.model.state_dict()
    assert all(torch.equal(weights[name.removeprefix("model.")], tensor) for name, tensor in expected.items())


def test_networks_factories_and_phases_take_the_place_of_names():
    trained = []
    for model in (partial(SmallCNN, width=4), SmallCNN(in_channels=1, width=4)):
        module = LongTailModule(
            model, OPEN, optimizer=partial(torch.optim.SGD, lr=0.05), schedule="cosine", loss="focal"
        )
        pl.Trainer(max_epochs=2, logger=False, **OPTIONS).fit(module, datamodule=make_data())
        trained.append(module)
    assert [phase.noise for phase in trained[0].plan.phases] == [False, True]
    assert isinstance(trained[1].loss, Focal)
    assert trained[1].model is model


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "small"}, "^model has no choice 'small'|^model must be one of"),
        ({"method": "opne"}, "^method"),
        ({"seed": 4}, "^seed of the module is 4, but that of the data module is 0"),
        ({"loss": "ldam"}, r"model\.head=cosine"),
        ({"shots": {"a": 1}}, "shots.a is no setting"),
        ({"shots": 5}, "shots must be a dict of settings"),
        ({"schedule": lambda: 3}, "schedule|max_epochs"),
    ],
)
def test_what_cannot_be_used_is_named_before_training(options, words):
    module, trainer = LongTailModule(**options), pl.Trainer(max_epochs=2, logger=False, **OPTIONS)
    with pytest.raises(InputError, match=words):
        trainer.fit(module, datamodule=DigitsLT(imbalance_ratio=50))


def test_a_normalized_classifier_is_normalized_once(tmp_path):
    data, trainer = make_data(val="split", val_size=5), pl.Trainer(max_epochs=1, logger=False, **OPTIONS)
    module = LongTailModule("small_cnn", method="tau_norm", tau=0.7)
    trainer.fit(module, datamodule=data)
    (before,) = trainer.validate(module, datamodule=data, verbose=False)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    loaded = LongTailModule.load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    (after,) = pl.Trainer(logger=False, **OPTIONS).validate(loaded, datamodule=data, verbose=False)
    assert after == before


def test_a_module_without_weights_is_not_tested():
    with pytest.raises(InputError, match=r"^model has no weights yet: fit the module"):
        pl.Trainer(logger=False, **OPTIONS).test(LongTailModule("small_cnn"), datamodule=make_data(), verbose=False)


def test_test_validate_and_predict_as_lightning_has_them():
    data = make_data(val="split", val_size=5)
    module, trainer = LongTailModule(partial(SmallCNN, width=4)), pl.Trainer(max_epochs=2, logger=False, **OPTIONS)
    trainer.fit(module, datamodule=data)
    (tested,) = trainer.test(module, datamodule=data, verbose=False)
    (validated,) = trainer.validate(module, datamodule=data, verbose=False)
    predicted = trainer.predict(module, datamodule=data)
    assert tested["test/balanced_accuracy"] == pytest.approx(module.evaluation.scalars["balanced_accuracy"])
    assert 0 <= validated["val/balanced_accuracy"] <= 1
    logits, labels = torch.cat(predicted), data.test_set.targets
    assert logits.shape == (500, 10)
    assert float((logits.argmax(1) == labels).float().mean()) == pytest.approx(tested["test/accuracy"])


def test_a_checkpoint_of_lightnings_is_loaded_into_a_new_module(tmp_path):
    data, trainer = make_data(), pl.Trainer(max_epochs=2, logger=False, **OPTIONS)
    module = LongTailModule("small_cnn")
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    (expected,) = trainer.test(module, datamodule=data, verbose=False)
    loaded = LongTailModule.load_from_checkpoint(tmp_path / "own.ckpt", weights_only=True)
    (found,) = pl.Trainer(logger=False, **OPTIONS).test(loaded, datamodule=make_data(), verbose=False)
    assert found == expected
    again = LongTailModule.load_from_checkpoint(
        tmp_path / "own.ckpt", weights_only=True, model=SmallCNN(in_channels=1), map_location="cpu"
    )
    (found,) = pl.Trainer(logger=False, **OPTIONS).test(again, datamodule=make_data(), verbose=False)
    assert found == expected


class SaveAt(pl.Callback):
    """Writes a checkpoint after a step, as Lightning's own callbacks do."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


RESUMED = {
    "open": (OPEN, None),
    "crt": ([Phase(1), Phase(1, trainable="classifier", reset_classifier=True)], None),
    "lws": ([Phase(1), Phase(1, trainable="scale"), Phase(2)], None),
    "tau_norm": ([Phase(1)], 0.7),
}


def trained(method, *callbacks, ckpt_path=None, **options):
    phases, tau = RESUMED[method]
    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    module = LongTailModule(small_network, phases, optimizer=optimizer, tau=tau, **options)
    writes = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    trainer = pl.Trainer(
        max_epochs=4, logger=False, callbacks=list(callbacks), **{**OPTIONS, "enable_checkpointing": writes}
    )
    trainer.fit(module, datamodule=make_data(val="split", val_size=5), ckpt_path=ckpt_path, weights_only=True)
    return module.model.state_dict()


def assert_equal(one, other):
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("method", "step"),
    [*(("open", step) for step in (1, 4, 7, 8, 10)), ("crt", 4), ("crt", 8), ("lws", 4), ("lws", 7), ("tau_norm", 10)],
)
def test_a_run_resumes_from_lightnings_checkpoint_to_the_same_bits(tmp_path, method, step):
    """Within an epoch too: with the images, noise and dropout that were left, in any phase."""
    whole = trained(method, SaveAt(step, tmp_path / "some.ckpt"))
    assert_equal(whole, trained(method, ckpt_path=tmp_path / "some.ckpt"))


@pytest.mark.parametrize(
    ("method", "epoch", "on_train_epoch_end"),
    [
        *(("open", epoch, at_end) for epoch in (0, 1, 2) for at_end in (True, False)),
        *(("crt", 0, True), ("crt", 1, False), ("lws", 0, False), ("lws", 1, True), ("tau_norm", 2, True)),
    ],
)
def test_a_run_resumes_from_an_epochs_end(tmp_path, method, epoch, on_train_epoch_end):
    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=on_train_epoch_end)
    whole = trained(method, keep)
    assert_equal(whole, trained(method, ckpt_path=tmp_path / f"epoch={epoch}.ckpt"))


@pytest.mark.parametrize("step", [4, 7])
def test_a_rate_that_changes_by_the_step_resumes(tmp_path, step):
    schedule = partial(cosine_schedule, interval="step")
    whole = trained("open", SaveAt(step, tmp_path / "some.ckpt"), schedule=schedule)
    assert_equal(whole, trained("open", ckpt_path=tmp_path / "some.ckpt", schedule=schedule))


def test_the_rate_changes_by_the_epoch_or_by_the_step():
    class Rates(pl.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, *_):
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    for interval, fractions in (("epoch", [0, 0, 0]), ("step", [0, 1 / 3, 2 / 3])):
        rates = Rates()
        trained("crt", rates, schedule=partial(cosine_schedule, interval=interval))
        times = [epoch + part for epoch in range(4) for part in fractions]
        assert rates.seen == pytest.approx([0.1 * (1 + math.cos(math.pi * time / 4)) / 2 for time in times])


def fitted(data, *callbacks, module=None, **options):
    module = module or LongTailModule(small_network)
    settings = {"max_epochs": 2, "logger": False, "callbacks": list(callbacks), **OPTIONS, **options}
    ckpt_path = settings.pop("ckpt_path", None)
    pl.Trainer(**settings).fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return module


def test_callbacks_find_the_network_when_they_are_set_up():
    plain, average = fitted(make_data()), EMAWeightAveraging(decay=0.5)
    averaged = fitted(make_data(), average)
    pairs = zip(plain.model.parameters(), averaged.model.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("module", "data", "words"),
    [
        ({}, {"imbalance_ratio": 10}, "training images"),
        ({"method": "erm"}, {}, "phases"),
        ({}, {"seed": 1}, "seed"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, module, data, words):
    fitted(make_data(), SaveAt(4, tmp_path / "some.ckpt"))
    with pytest.raises(InputError, match=f"^ckpt_path was written by a run that differs in its {words}"):
        fitted(make_data(**data), module=LongTailModule(small_network, **module), ckpt_path=tmp_path / "some.ckpt")


def test_phases_that_were_not_reached_are_named(caplog):
    fitted(make_data(), max_steps=2)
    assert "training ended before the method's last phase: class_balanced+noise not reached" in caplog.text
    caplog.clear()
    fitted(make_data())
    assert "not reached" not in caplog.text


def test_a_trial_of_lightnings_runs_its_one_epoch():
    assert fitted(make_data(), fast_dev_run=True).plan.max_epochs > 1


def test_a_module_serves_one_set_of_images():
    module = fitted(make_data())
    with pytest.raises(InputError, match=r"^datamodule has other class counts"):
        fitted(make_data(imbalance_ratio=10), module=module)


def test_a_network_that_keeps_its_last_features_trains():
    class Keeping(nn.Module):
        def __init__(self, num_classes, in_channels):
            super().__init__()
            self.body, self.fc = SmallCNN(8, in_channels, width=4), nn.utils.weight_norm(nn.Linear(8, num_classes))

        def forward(self, images):
            self.features = self.body(images)
            return self.fc(self.features)

    assert fitted(make_data(), module=LongTailModule(Keeping)).train_rows.compute() == {}


def test_a_network_of_a_library_goes_by_its_name():
    module = LongTailModule("timm/resnet10t", method="erm")
    fitted(make_data(), module=module, fast_dev_run=True)
    assert type(module.model).__module__.startswith("timm.")


@pytest.mark.parametrize("options", [{"loss": "focal"}, {"schedule": "cosine"}, {"optimizer": "adam"}])
def test_a_module_that_is_complete_at_once_ignores_no_name(options):
    with pytest.raises(InputError, match=f"^{next(iter(options))} must be an object where class_counts are given"):
        LongTailModule(SmallCNN(in_channels=1), class_counts=[9, 3], **options)
    with pytest.raises(InputError, match=r"^model must be a network where class_counts are given"):
        LongTailModule("small_cnn", class_counts=[9, 3])


def test_a_plain_trainer_and_fit_take_torchvisions_datasets(tmp_path):
    train_set, test_set = FakeData(60, (3, 8, 8), 3, random_offset=1), FakeData(12, (3, 8, 8), 3, random_offset=2)
    data = DatasetLT(train_set, test_set, imbalance_ratio=4, batch_size=8)
    module = LongTailModule("small_cnn", method="open")
    trainer = pl.Trainer(max_epochs=5, logger=False, **OPTIONS)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    run = fit(data, "small_cnn", method="open", max_epochs=5, output_dir=tmp_path / "run", accelerator="cpu")
    expected = run.network.state_dict()
    plain = {name: tensor for name, tensor in module.model.state_dict().items() if name in expected}
    assert len(plain) == len(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in plain.items())
    assert trainer.callback_metrics["test/accuracy"].item() == pytest.approx(run.metrics["accuracy"], abs=1e-6)
    assert (run.result["class_counts"], run.result["choices"]["data"]) == (data.class_counts, "DatasetLT")
