"""The configuration that a command line gives, composed in this process."""

from __future__ import annotations

from typing import Any, cast

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.oponm.rows_sweeper import RowsSweeper
from oponm.cli.plugins import store_plugins
from oponm.configs import CONF_DIR


def compose_config(*overrides: str) -> DictConfig:
    store_plugins()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", list(overrides))


def compose_with_choices(*overrides: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The choice in each config group, and the settings, resolved, of a run in no folder."""
    store_plugins()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [*overrides, "output_dir=''"], return_hydra_config=True)
    choices = {name: choice for name, choice in config.hydra.runtime.choices.items() if "/" not in name and choice}
    with open_dict(config):
        del config["hydra"]
    return choices, cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))


def sweep_config(sweep: str) -> DictConfig:
    """What Hydra is told of a sweep, with Hydra's own settings."""
    store_plugins()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", [f"sweep={sweep}"], return_hydra_config=True)


def jobs_of(sweep: str) -> list[list[str]]:
    """The overrides of each job of a sweep; without rows, it is Hydra's own and one product."""
    sweeper = sweep_config(sweep).hydra.sweeper
    return RowsSweeper(sweeper.params or {}, sweeper.get("rows") or [""]).jobs([])
