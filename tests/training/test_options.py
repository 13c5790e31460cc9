"""Every option of Lightning's trainer reaches it, from the command line's config and from Python."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import AsyncCheckpointIO

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.training import Phase, PhasePlan, fit, train
from oponm.training import run as run_config
from oponm.training.callbacks.checkpoint import check_callbacks
from oponm.training.options import trainer_options
from oponm.training.weights import load_state
from tests.cli.compose import compose_config
from tests.integration.test_resume import KillAt, Killed
from tests.training.small import make_data, make_module


class Seen(pl.Callback):
    def on_fit_start(self, trainer, module):
        self.trainer, self.steps = trainer, 0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps += 1


def test_options_of_a_config_and_of_fit_reach_the_trainer(tmp_path):
    seen = Seen()
    options = {"gradient_clip_val": 0.5, "limit_train_batches": 2, "accumulate_grad_batches": 2, "profiler": "simple"}
    overrides = [f"++trainer.{key}={value}" for key, value in options.items()]
    config = compose_config(*overrides, f"output_dir={tmp_path}")
    check_settings(config)
    assert options.items() - {("profiler", "simple")} <= trainer_options(config.trainer, str(tmp_path)).items()
    run = fit(DigitsLT(), "small_cnn", "erm", max_epochs=3, callbacks=[seen], output_dir=tmp_path / "run", **options)
    assert seen.trainer.gradient_clip_val == 0.5
    assert (seen.steps, seen.trainer.global_step) == (6, 3)
    assert "training_step" in (tmp_path / "run/fit-profile.txt").read_text()
    assert {"+trainer.limit_train_batches=2", "trainer.gradient_clip_val=0.5"} <= set(run.result["overrides"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("++trainer.use_distributed_sampler=true", "trainer.use_distributed_sampler would draw again"),
        ("++trainer.enable_checkpointing=false", "trainer.enable_checkpointing cannot be false"),
        ("++trainer.logger=true", "trainer.logger is a group of its own"),
        ("++trainer.callbacks=[]", "trainer.callbacks are a group of their own"),
        ("++trainer.default_root_dir=x", "trainer.default_root_dir is the run's folder"),
        ("++trainer.limit_test_batches=0", "trainer.limit_test_batches cannot be 0"),
        ("++trainer.limit_train_batches=0", "trainer.limit_train_batches cannot be 0"),
        ("++trainer.max_steps=0", "trainer.max_steps cannot be 0"),
        ("++trainer.deterministic=bogus", "trainer.deterministic must be true, false or warn, got 'bogus'"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be a whole number of at least 1"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch must be a whole number of at least 1"),
        ("++trainer.barebones=true", "trainer.barebones removes"),
        ("trainer.strategy=ddp_spawn", "trainer.strategy starts processes of its own"),
        ("+trainer.gradient_clip=1", "trainer.gradient_clip is no setting: did you mean trainer.gradient_clip_val"),
        ("+trainer.self=1", "trainer.self is no setting"),
        (
            "callbacks=early_stopping",
            "callbacks.early_stopping watches val/balanced_accuracy, but the run has no validation",
        ),
    ],
)
def test_what_contradicts_phases_or_resumption_is_refused_with_the_reason(override, words):
    with pytest.raises(InputError, match=words):
        check_settings(compose_config(override))


def test_epochs_that_are_validated_need_batches_for_it():
    with pytest.raises(InputError, match=r"trainer\.limit_val_batches cannot be 0 where epochs are validated"):
        check_settings(compose_config("data.val=split", "++trainer.limit_val_batches=0"))
    check_settings(compose_config("++trainer.limit_val_batches=0"))


def test_a_skipped_step_and_accumulated_gradients_exclude_each_other():
    config = compose_config("trainer.on_nonfinite=skip", "trainer.accumulate_grad_batches=2")
    with pytest.raises(InputError, match=r"trainer\.on_nonfinite cannot be skip with"):
        check_settings(config)


def test_a_class_of_ones_own_is_the_trainer():
    config = compose_config("trainer._target_=tests.training.test_options.OwnTrainer")
    assert trainer_options(config.trainer, "")["trainer_class"] is OwnTrainer


class OwnTrainer(pl.Trainer):
    pass


OPTIONS = {
    "accumulate": {"accumulate_grad_batches": 2},
    "clip": {"gradient_clip_val": 0.1},
    "overfit": {"overfit_batches": 2},
    "limit": {"limit_train_batches": 2},
    "within epochs": {"val_check_interval": 2},
    "every second epoch": {"check_val_every_n_epoch": 2},
    "sanity": {"num_sanity_val_steps": 1},
}


def trained(folder, options, *callbacks, resume=False):
    data = make_data(val="split", val_size=5, batch_size=64)
    module = make_module(data)
    state = load_state(folder / "checkpoints/last.ckpt") if resume else None
    loggers, plan = (
        [CSVLogger(folder, name="", version="")],
        PhasePlan([Phase(2), Phase(2, "class_balanced", noise=True)], 4),
    )
    train(
        *(module, data, plan, folder, loggers, None, state),
        **{"checkpoint_every_n_steps": 1, "callbacks": callbacks, "accelerator": "cpu", **options},
    )
    return module.model.state_dict(), (folder / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("step", [3, 6])
def test_a_run_with_options_resumes_to_the_same_bits(tmp_path, name, step):
    whole = trained(tmp_path / "whole", OPTIONS[name])
    plain = trained(tmp_path / "plain", {})
    assert name in ("within epochs", "every second epoch", "sanity") or any(
        not torch.equal(tensor, plain[0][key]) for key, tensor in whole[0].items()
    )
    try:
        trained(tmp_path / "run", OPTIONS[name], KillAt(step, "step"))
        pytest.fail("it was not killed")
    except Killed:
        pass
    resumed = trained(tmp_path / "run", OPTIONS[name], resume=True)
    assert all(torch.equal(tensor, resumed[0][key]) for key, tensor in whole[0].items())
    assert resumed[1] == whole[1]


def test_one_batch_is_learnt_again_and_again(tmp_path):
    class Targets(pl.Callback):
        seen: list = []

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.seen.append(batch.targets.tolist())

    data = make_data()
    module = make_module(data)
    targets = Targets()
    plan = PhasePlan([Phase(1)], 3)
    train(module, data, plan, tmp_path, callbacks=[targets], accelerator="cpu", overfit_batches=1)
    assert len(targets.seen) == 3
    assert targets.seen[0] == targets.seen[1] == targets.seen[2]


def test_a_trial_writes_no_checkpoint(tmp_path):
    run = fit(DigitsLT(), method="open", max_epochs=4, output_dir=tmp_path / "run", fast_dev_run=True)
    assert not (tmp_path / "run/checkpoints").exists()
    assert run.result["epochs"] == 1


def test_the_rate_is_logged_by_lightnings_callback(tmp_path):
    monitor = LearningRateMonitor("epoch")
    run = fit(DigitsLT(), method="erm", max_epochs=2, output_dir=tmp_path / "run", callbacks=[monitor])
    assert "lr-SGD" in (run.folder / "metrics.csv").read_text()


def test_what_lightning_refuses_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"trainer cannot be used: You requested to check 0\.001"):
        fit(DigitsLT(), method="erm", max_epochs=1, output_dir=tmp_path / "run", limit_train_batches=0.001)


def test_products_have_the_precision_of_the_setting_meanwhile(tmp_path):
    class Precision(pl.Callback):
        def on_train_start(self, trainer, module):
            self.seen = torch.get_float32_matmul_precision()

    callback, before = Precision(), torch.get_float32_matmul_precision()
    options = {"method": "erm", "max_epochs": 1, "output_dir": tmp_path / "run", "callbacks": [callback]}
    fit(DigitsLT(), **options, matmul_precision="medium")
    assert callback.seen == "medium"
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(InputError, match="matmul_precision must be one of highest, high, medium, got 'low'"):
        fit(DigitsLT(), **{**options, "output_dir": tmp_path / "other"}, matmul_precision="low")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("norm", ["dar", "aux"])
def test_gradients_are_clipped_in_bfloat16_by_an_optimizer_that_is_not_fused(tmp_path, norm):
    options = {"precision": "bf16-mixed", "gradient_clip_val": 0.5, "norm": norm}
    run = fit(DigitsLT(), method="open", max_epochs=2, output_dir=tmp_path / "run", accelerator="cpu", **options)
    assert run.result["epochs"] == 2


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_what_is_no_callback_or_logger_is_refused_by_name(tmp_path, group):
    for settings, words in (
        ("foo", "must be the settings"),
        ("{_target_:torch.nn.ReLU}", "must make"),
        ("{a:1}", "must"),
    ):
        config = compose_config(f"+{group}.mine={settings}", f"output_dir={tmp_path}/run", "phase_cache='off'")
        with pytest.raises(InputError, match=rf"{group}\.mine {words}"):
            run_config(config)
        assert not (tmp_path / "run").exists()


class Opaque(pl.Callback):
    def state_dict(self):
        return {"thing": object()}


def test_a_callback_whose_state_cannot_be_read_again_is_refused(tmp_path):
    with pytest.raises(InputError, match="callbacks contain Opaque, whose state no checkpoint can keep"):
        fit(DigitsLT(), method="erm", max_epochs=1, output_dir=tmp_path / "run", callbacks=[Opaque()])
    assert not (tmp_path / "run").exists()


def test_an_object_among_the_options_does_not_lose_its_settings(tmp_path):
    short = {"method": "erm", "max_epochs": 2}
    run = fit(DigitsLT(), output_dir=tmp_path / "run", max_time=timedelta(hours=1), **short)
    assert run.result["epochs"] == 2
    profiler = {"_target_": "pytorch_lightning.profilers.SimpleProfiler", "dirpath": str(tmp_path), "filename": "own"}
    fit(DigitsLT(), output_dir=tmp_path / "profiled", profiler=profiler, **short)
    assert (tmp_path / "fit-own.txt").is_file()
    fit(DigitsLT(), profiler=pl.profilers.SimpleProfiler(str(tmp_path), "object"), **short)
    assert (tmp_path / "fit-object.txt").is_file()


def test_what_stores_checkpoints_in_another_way_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"plugins contain AsyncCheckpointIO, but a run writes"):
        fit(DigitsLT(), method="erm", max_epochs=1, plugins=AsyncCheckpointIO(), output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (callbacks.BatchSizeFinder(), "contain BatchSizeFinder, which changes the batch size: .* data.batch_size"),
        (callbacks.LearningRateFinder(), "contain LearningRateFinder, which .* optimizer.lr"),
        (callbacks.BackboneFinetuning(), "contain BackboneFinetuning, which freezes weights"),
        (callbacks.ModelPruning("l1_unstructured"), "contain ModelPruning"),
        (callbacks.StochasticWeightAveraging(0.01), "contain StochasticWeightAveraging, .* take callbacks=swa"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_callbacks_that_contradict_the_settings_are_refused(callback, words):
    with pytest.raises(InputError, match=words):
        check_callbacks([callback])


def test_a_figure_that_lightnings_own_callback_does_not_find_is_one_line(tmp_path):
    missing = callbacks.EarlyStopping("nonsense", check_on_train_epoch_end=True)
    with pytest.raises(InputError, match="callbacks cannot be used: Early stopping conditioned on metric `nonsense`"):
        fit(DigitsLT(), method="erm", max_epochs=1, callbacks=[missing])


def test_one_callback_stands_for_a_list_and_a_thing_that_is_none_is_refused(tmp_path):
    seen = Seen()
    fit(DigitsLT(), method="erm", max_epochs=1, output_dir=tmp_path / "run", callbacks=seen)
    assert seen.steps
    with pytest.raises(InputError, match=r"callbacks must be Lightning.s, or names of choices, .* got \[3\]"):
        fit(DigitsLT(), method="erm", max_epochs=1, callbacks=[3])
