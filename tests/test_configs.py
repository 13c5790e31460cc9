"""Choices compose without Hydra to what they compose to with it."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from oponm.configs import compose_choices, groups
from oponm.errors import InputError
from tests.cli.compose import compose_config

WHERE = ("output_dir", "phase_cache", "resume", "optimized_metric")
NEEDED = {"image_folder": "data.root=photos", "custom": "model._target_=x", "wandb": ""}
COMMAND_ALONE = ("experiment", "sweep", "hparams_search")  # groups
ALL = [(g, c) for g, cs in groups().items() if g not in COMMAND_ALONE for c in cs if c not in NEEDED]


def with_hydra(*overrides: str):
    settings = OmegaConf.to_container(compose_config(*overrides, "output_dir=''"), resolve=True)
    return {key: value for key, value in settings.items() if key not in WHERE}


@pytest.mark.parametrize(("group", "choice"), ALL, ids=str)
def test_every_choice_is_what_the_command_line_makes_of_it(group, choice):
    settings = compose_choices({group: choice}, seed=3)[1]
    expected = with_hydra(f"{group}={choice}", "seed=3")
    assert settings == expected


def test_a_choice_that_is_given_wins_over_one_that_another_brings():
    given = {"method": "ldam_drw", "loss": "focal", "schedule": "paper"}
    chosen, settings = compose_choices(given)
    assert given.items() <= chosen.items()
    assert settings == with_hydra("method=ldam_drw", "loss=focal", "schedule=paper")


@pytest.mark.parametrize(
    ("choices", "words"), [({"method": "erms"}, "method must be"), ({"ways": "x"}, "group must be")]
)
def test_choices_that_there_are_not(choices, words):
    with pytest.raises(InputError, match=words):
        compose_choices(choices)
