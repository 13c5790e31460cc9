"""Choices compose in code to what they compose to on the command line."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from oponm.configs import compose_choices
from oponm.errors import InputError
from tests.cli.compose import compose_config, compose_with_choices

CHOICES = [
    {},
    {"data": "cifar10_lt", "method": "open"},
    {"method": "ldam_drw", "loss": "focal", "schedule": "paper"},  # what is given wins over what a choice brings
]


@pytest.mark.parametrize("given", CHOICES, ids=str)
def test_choices_are_what_the_command_line_makes_of_them(given):
    chosen, settings = compose_choices(given, seed=3)
    overrides = (f"{group}={choice}" for group, choice in given.items())
    config = compose_config(*overrides, "seed=3", "output_dir=''")
    assert given.items() <= chosen.items()
    assert settings == OmegaConf.to_container(config, resolve=True) | {"logger": OmegaConf.to_container(config.logger)}


@pytest.mark.parametrize(
    "given",
    [
        {"experiment": "cifar100_lt_ir50", "method": "drs"},
        {"experiment": "celeba5/erm"},
        {"sweep": "study_cifar10_paper"},
        {"sweep": "balanced"},
    ],
    ids=str,
)
def test_what_a_file_chooses_in_other_groups(given):
    chosen, _ = compose_with_choices(*(f"{group}={choice}" for group, choice in given.items()))
    assert compose_choices(given)[0] == chosen


@pytest.mark.parametrize(
    ("choices", "words"), [({"method": "erms"}, "method must be"), ({"ways": "x"}, "group must be")]
)
def test_choices_that_there_are_not(choices, words):
    with pytest.raises(InputError, match=words):
        compose_choices(choices)
