"""Every config file of every group composes into a run, and what it names is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger
from torch.nn.modules.batchnorm import _BatchNorm

from oponm.cli.run_names import fixed_keys, run_name
from oponm.configs import groups
from oponm.data import LongTailDataModule
from oponm.data.statistics import Statistics
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.logging import TensorBoardLogger, WandbLogger
from oponm.longtail import shot_groups
from oponm.models import SmallCNN, find_classifier
from oponm.nn import AuxBatchNorm2d, DARBatchNorm2d, SharedBatchNorm2d, convert_batchnorm, noise_routing
from oponm.noise import Batch
from oponm.training import LongTailModule, make_trainer, train
from oponm.training.build import build, build_each, build_network, build_optimizer, build_plan
from oponm.training.build import make_data as make_data_module
from oponm.training.loggers import open_loggers
from oponm.training.options import trainer_options
from oponm.training.parameter_groups import optimizer_of
from oponm.training.resolve import resolve
from tests.cli.compose import compose_config, jobs_of, sweep_config

ALL = groups()
CHOICES = [(group, choice) for group, choices in ALL.items() for choice in choices]
NEEDED = {  # what a choice cannot be used without
    "image_folder": ["data.root=photos"],
    "huggingface": ["data.path=photos"],
    "table": ["data.table=photos/labels.csv"],
    "custom": ["model._target_=oponm.models.SmallCNN"],
    "wandb": ["logger.wandb.offline=true"],
    "early_stopping": ["data.val=split"],
    "finetune": ["data.root=photos", "model.pretrained=false"],
}
SWEEPING = ("sweep", "hparams_search")
COUNTS = [100, 50, 10, 5, 2, 2, 2, 2, 2, 2]
NORMS = {"dar": DARBatchNorm2d, "aux": AuxBatchNorm2d, "standard": SharedBatchNorm2d}
LOGGERS = {"csv": CSVLogger, "wandb": WandbLogger, "tensorboard": TensorBoardLogger}


def make_data(config: DictConfig) -> None:
    data = make_data_module(config)
    assert isinstance(data, LongTailDataModule)
    assert data.batch_size in (64, 128)


def make_model(config: DictConfig) -> None:
    """The network that the file names, with the norm of the file; without memory, as some are large."""
    with torch.device("meta"):
        model = build_network(config.model, config.seed, 7, (3, 32, 32))
        convert_batchnorm(model, **config.norm)
        assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    plain = (config.norm.kind, config.norm.noise_grad) == ("standard", "full")
    assert {type(layer) for layer in layers} >= {torch.nn.BatchNorm2d if plain else NORMS[config.norm.kind]}
    if not plain:
        assert {layer.noise_grad for layer in layers} == {config.norm.noise_grad}


def make_method(config: DictConfig) -> None:
    assert build_plan(config.method, config.trainer.max_epochs).max_epochs == config.trainer.max_epochs


def make_schedule(config: DictConfig) -> None:
    assert 0 < instantiate(config.schedule)(max_epochs=200)(100) <= 1


def make_augmentation(config: DictConfig) -> None:
    assert instantiate(config.augmentation)((32, 32))(torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)


def make_loss(config: DictConfig) -> None:
    loss = instantiate(config.loss)(COUNTS)
    features = {"feature_norms": torch.ones(2)} if getattr(loss, "takes_features", False) else {}
    assert loss(torch.zeros(2, 10), torch.tensor([0, 9]), **features).shape == (2,)


def make_noise(config: DictConfig) -> None:
    colors = Statistics((0.5,) * 3, (0.2,) * 3)
    transform = instantiate(config.noise)(colors, COUNTS, lambda: [colors] * 10)
    batch = transform(torch.rand(4, 3, 8, 8), torch.arange(4), torch.Generator().manual_seed(0), 1.0)
    assert batch.images.shape[1:] == (3, 8, 8)


def make_mixing(config: DictConfig) -> None:
    mixing, batch = instantiate(config.mixing)(COUNTS), Batch(torch.rand(4, 3, 8, 8), torch.arange(4))
    if mixing is not None:
        mixed = mixing(batch, torch.Generator().manual_seed(0))
        assert mixed.images.shape == batch.images.shape
        assert mixed.shares is not None


def make_shots(config: DictConfig) -> None:
    groups = shot_groups(COUNTS, **config.shots).values()
    assert [label for labels in groups for label in labels] == list(range(len(COUNTS)))


def make_norm(config: DictConfig) -> None:
    model = convert_batchnorm(SmallCNN(in_channels=1, width=2), **config.norm)
    with noise_routing(torch.arange(6) % 3 == 0):
        assert model(torch.rand(6, 1, 8, 8)).isfinite().all()
    make_model(config)


def make_optimizer(config: DictConfig) -> None:
    make, network = build_optimizer(config.optimizer), torch.nn.Linear(2, 2)
    optimizer = optimizer_of(make, network, 2)
    assert optimizer.param_groups[0]["lr"] > 0


def make_trainer_of(config: DictConfig) -> None:
    assert make_trainer(max_epochs=config.trainer.max_epochs, **trainer_options(config.trainer, "")).max_epochs > 0


def make_loggers(config: DictConfig) -> None:
    with open_loggers(config.logger) as loggers:
        assert [type(logger) for logger in loggers] == [LOGGERS[name] for name in config.logger]


def make_callbacks(config: DictConfig) -> None:
    assert len(build_each("callbacks", config.callbacks, pl.Callback)) == len(config.callbacks)


@pytest.mark.parametrize("choices", ["[csv,wandb]", "[wandb,tensorboard]"])
def test_several_logger_files_combine(choices, tmp_path):
    config = compose_config(f"logger={choices}", f"output_dir={tmp_path}", "logger.wandb.offline=true")
    assert set(config.logger) == {"csv", *choices[1:-1].split(",")}
    make_loggers(config)


MAKE: dict[str, Callable[[DictConfig], None]] = {
    "data": make_data,
    "model": make_model,
    "method": make_method,
    "schedule": make_schedule,
    "augmentation": make_augmentation,
    "loss": make_loss,
    "noise": make_noise,
    "mixing": make_mixing,
    "norm": make_norm,
    "shots": make_shots,
    "optimizer": make_optimizer,
    "trainer": make_trainer_of,
    "logger": make_loggers,
    "callbacks": make_callbacks,
    "debug": make_trainer_of,
}


@pytest.mark.parametrize(("group", "choice"), [pair for pair in CHOICES if pair[0] not in SWEEPING], ids=str)
def test_what_the_choice_names_is_made(group, choice, tmp_path, monkeypatch):
    for device in (torch.cuda, torch.backends.mps) if choice in ("gpu", "mps") else ():
        monkeypatch.setattr(device, "is_available", lambda: True)
    config = compose_config(f"{group}={choice}", f"output_dir={tmp_path}", "seed=3", *NEEDED.get(choice, []))
    assert config.seed == 3
    resolve(config)
    for make in MAKE.values() if group == "experiment" else [MAKE[group]]:
        if make is not make_trainer_of or choice not in ("gpu", "ddp", "mps"):
            make(config)
    check_settings(config)
    if group == "mixing":
        assert (instantiate(config.mixing)(COUNTS) is None) == (choice == "none")
    if group == "logger":
        assert list(config.logger) == [] if choice == "none" else [*dict.fromkeys(["csv", choice])]


def test_no_two_experiments_are_the_same_run():
    made: dict[str, str] = {}
    for choice in ALL["experiment"]:
        settings = OmegaConf.to_yaml(
            compose_config(f"experiment={choice}", "output_dir=''", *NEEDED.get(choice, [])), resolve=True
        )
        assert made.setdefault(settings, choice) == choice


@pytest.mark.slow
@pytest.mark.parametrize("sweep", ALL["sweep"])
def test_sweeps_run_nothing_twice(sweep):
    axes = ("seed=", "augmentation=", "data.imbalance_ratio=")  # which differ in the settings by themselves
    jobs = {tuple(one for one in job if not one.startswith(axes)) for job in jobs_of(sweep)}
    made: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        settings = OmegaConf.to_yaml(compose_config(f"sweep={sweep}", *job, "output_dir=''"), resolve=True)
        assert made.setdefault(settings, job) == job


def test_a_sweep_of_one_table_takes_settings_of_its_data():
    assert compose_config("sweep=resnet32", "data.root=elsewhere", "data.download=false").data.root == "elsewhere"


@pytest.mark.parametrize("sweep", ALL["sweep"])
def test_runs_of_a_sweep_have_names_of_their_own(sweep):
    jobs, fixed = jobs_of(sweep), fixed_keys(sweep_config(sweep))
    names = [run_name(job, fixed, seed=0) for job in jobs]
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) <= 80


# What the gallery and the study run beside the choices of method.
METHODS = sorted(
    {
        " ".join(override for override in job if not override.startswith(("seed=", "data.")))
        for sweep in ("gallery", "study_digits")
        for job in jobs_of(sweep)
    }
    | {f"method={method}" for method in ALL["method"]}
)


@pytest.mark.parametrize("chosen", METHODS)
def test_every_method_trains_two_steps_a_phase(chosen, tmp_path):
    phases = len(compose_config(*chosen.split()).method.phases)
    config = compose_config(
        *chosen.split(),
        f"output_dir={tmp_path}",
        f"trainer.max_epochs={phases}",
        "data.batch_size=192",
        "model.width=4",
        "trainer.accelerator=cpu",
    )
    module, data, plan = build(config)
    assert isinstance(module, LongTailModule)
    result = train(module, data, plan, tmp_path, **trainer_options(config.trainer, str(tmp_path)))
    assert 0 <= result["metrics"]["balanced_accuracy"] <= 1
    steps = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert steps == 2 * phases


def test_the_classifier_of_any_network_can_be_named():
    named = build(compose_config("model.classifier=fc", "method=crt"))[0]
    assert find_classifier(named.model)[0] == "fc"
    with pytest.raises(InputError, match=r"model\.classifier is convs, whose output is not the logits"):
        build(compose_config("model.classifier=convs"))
