"""What may be imported because a file says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from oponm.configs import CONF_DIR
from oponm.errors import InputError
from oponm.inference.factory import known_factory, network_options


def network_factory(trust: bool) -> Callable[[Mapping[str, Any]], Callable[..., nn.Module]]:
    """From a model config to what makes the network; with ``trust`` whatever the config names is imported."""
    return _any_factory if trust else known_factory


def _any_factory(settings: Mapping[str, Any]) -> Callable[..., nn.Module]:
    make: Callable[..., nn.Module] = instantiate(
        {"_target_": settings.get("_target_"), **network_options(settings), "_partial_": True}
    )
    return make


def check_targets(config: DictConfig) -> None:
    """Refuse a config that has code imported which no config file of this package names.

    Raises:
        InputError: naming the code.
    """
    own = {name for file in CONF_DIR.rglob("*.yaml") for name in re.findall(r"_target_: *([\w.]+)", file.read_text())}
    if foreign := [name for name in _targets(OmegaConf.to_container(config, resolve=True)) if name not in own]:
        raise InputError(
            f"comes with settings that import {foreign[0]}, code that is not part of oponm: if you trust its author, "
            "set trust=true",
            "checkpoint",
        )


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_" and value is not None:
                yield str(value)
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)
