"""Every config file of every group composes into a run."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from oponm.cli.configuration import CONF_DIR, groups
from oponm.training import PhasePlan

CHOICES = [(group, choice) for group, choices in groups().items() for choice in choices]
NEEDED = {"image_folder": ["data.root=photos"]}


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=str)
def test_the_choice_composes_and_instantiates(group, choice, tmp_path):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"{group}={choice}", f"output_dir={tmp_path}", "seed=3", *NEEDED.get(choice, [])])
    assert config.seed == 3
    if group == "method":
        assert PhasePlan.from_config(config.method.phases, 200).max_epochs == 200
    elif group == "data":
        assert instantiate(config.data).batch_size == 128
    elif group == "model":
        assert instantiate(config.model, num_classes=7, in_channels=1).fc.out_features == 7
    elif group == "schedule":
        assert instantiate(config.schedule, max_epochs=10)(9) < 1
    elif group == "augmentation":
        assert callable(instantiate(config.augmentation)((32, 32)))
    elif group == "logger":
        assert list(config.logger) == {"csv": ["csv"], "wandb": ["csv", "wandb"], "none": []}[choice]
