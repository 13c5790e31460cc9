"""Every config file of every group composes into a run."""

from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from oponm.cli.build import build, build_model, build_plan, trainer_options
from oponm.configs import CONF_DIR, groups
from oponm.data.statistics import Statistics
from oponm.training import LongTailModule, train
from tests.cli.compose import compose_config

ALL = groups()
CHOICES = [(group, choice) for group, choices in ALL.items() for choice in choices]
NEEDED = {
    "image_folder": ["data.root=photos"],
    "custom": ["model._target_=oponm.models.SmallCNN"],
    "wrn_28_10": ["model.width=1", "model.depth=10"],
    "resnet152": ["model.name=resnet14t"],
}
COUNTS = [100, 50, 10, 5, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=str)
def test_the_choice_composes_and_instantiates(group, choice, tmp_path):
    config = compose_config(f"{group}={choice}", f"output_dir={tmp_path}", "seed=3", *NEEDED.get(choice, []))
    assert config.seed == 3
    if group in ("method", "experiment"):
        assert build_plan(config).max_epochs == config.trainer.max_epochs
    if group in ("data", "experiment"):
        assert instantiate(config.data).batch_size == 128
    if group == "model":
        assert build_model(config, num_classes=7, in_channels=3)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    if group in ("schedule", "experiment"):
        assert 0 < instantiate(config.schedule, max_epochs=200)(100) <= 1
    if group in ("augmentation", "experiment"):
        assert instantiate(config.augmentation)((32, 32))(torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    if group in ("loss", "experiment"):
        assert instantiate(config.loss)(COUNTS)(torch.zeros(2, 10), torch.tensor([0, 9])).shape == (2,)
    if group in ("noise", "experiment"):
        colours = Statistics((0.5,) * 3, (0.2,) * 3)
        mixer = instantiate(config.noise)(colours, COUNTS, lambda: [colours] * 10)
        batch = mixer(torch.rand(4, 3, 8, 8), torch.arange(4), torch.Generator().manual_seed(0), 1.0)
        assert batch.images.shape[1:] == (3, 8, 8)
    if group == "mixing":
        assert (instantiate(config.mixing)(COUNTS) is None) == (choice == "none")
    if group in ("optimizer", "experiment"):
        assert instantiate(config.optimizer)(torch.nn.Linear(2, 2).parameters()).param_groups[0]["lr"] > 0
    if group == "logger":
        assert (
            list(config.logger)
            == {"csv": ["csv"], "wandb": ["csv", "wandb"], "tensorboard": ["csv", "tensorboard"], "none": []}[choice]
        )


def test_experiments_name_a_published_source_or_say_that_there_is_none():
    unpublished = [choice for choice in ALL["experiment"] if not compose_config(f"experiment={choice}").published]
    for choice in unpublished:
        text = (CONF_DIR / "experiment" / f"{choice}.yaml").read_text()
        assert "published" in text or choice.startswith(("digits_lt/", "celeba5/")), choice


@pytest.mark.parametrize("sweep", ALL["sweep"])
def test_sweeps_name_experiments_that_exist(sweep):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"sweep={sweep}"], return_hydra_config=True)
    params = config.hydra.sweeper.params
    for group in ("experiment", "method"):
        listed = [name.strip() for name in str(params.get(group, "")).split(",") if name.strip()]
        assert set(listed) <= set(ALL[group])
        assert len(set(listed)) == len(listed)
    assert params


METHODS = [f"method={method}" for method in ALL["method"]]
METHODS += [f"experiment={choice}" for choice in ALL["experiment"] if choice.startswith("digits_lt/")]


@pytest.mark.parametrize("chosen", METHODS)
def test_every_method_trains_two_steps_a_phase(chosen, tmp_path):
    phases = len(compose_config(chosen).method.phases)
    config = compose_config(
        chosen,
        f"output_dir={tmp_path}",
        f"trainer.max_epochs={phases}",
        "data.batch_size=192",
        "model.width=4",
        "trainer.accelerator=cpu",
    )
    module, data, plan = build(config)
    assert isinstance(module, LongTailModule)
    result = train(module, data, plan, tmp_path, **trainer_options(config))
    assert 0 <= result["metrics"]["balanced_accuracy"] <= 1
    steps = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert steps == 2 * phases
