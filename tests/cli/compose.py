"""The configuration that a command line gives, composed in this process."""

from __future__ import annotations

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from oponm.configs import CONF_DIR


def compose_config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", list(overrides))
