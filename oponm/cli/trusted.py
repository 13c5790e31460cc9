"""Decides which code the config in a checkpoint is allowed to import."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from oponm.configs import CONF_DIR, plain
from oponm.errors import InputError
from oponm.inference.factory import known_factory, network_options
from oponm.own_code import targets

_HARMLESS = {
    *(f"builtins.{kind.__name__}" for kind in (bool, dict, float, frozenset, int, list, set, str, tuple)),
    *("collections.OrderedDict", "datetime.timedelta", "fractions.Fraction", "pathlib.Path", "functools.partial"),
}


def network_factory(trust: bool) -> Callable[[Mapping[str, Any]], Callable[..., nn.Module]]:
    """Return the function that turns a model config into a factory of the network.

    Args:
        trust: whether the config is allowed to import any code, and not only the networks that oponm knows.
    """
    return _any_factory if trust else known_factory


def _any_factory(settings: Mapping[str, Any]) -> Callable[..., nn.Module]:
    make: Callable[..., nn.Module] = instantiate(
        {"_target_": settings.get("_target_"), **network_options(settings), "_partial_": True}
    )
    return make


def check_targets(config: DictConfig) -> None:
    """Refuse a config that imports code which is neither named in a config file of this package nor a class of torch.

    Classes of networks, losses, optimizers and schedules of torch are allowed. Functions of torch and most of the
    standard library are refused, as many functions run their arguments (``torch.hub.load``, ``os.system``).

    Args:
        config: the config of a checkpoint.

    Raises:
        InputError: naming the code.
    """
    own = {name for file in CONF_DIR.rglob("*.yaml") for name in re.findall(r"_target_: *([\w.]+)", file.read_text())}
    named = list(targets(plain(config)))
    if foreign := [name for name in named if name not in own and not _harmless(name)]:
        raise InputError(
            f"comes with settings that import {foreign[0]}, code that is not part of oponm: if you trust its author, "
            "set trust=true",
            "checkpoint",
        )


def _harmless(name: str) -> bool:
    """Whether a name is that of a class that only holds settings or weights."""
    if name in _HARMLESS:
        return True
    module, _, last = name.rpartition(".")
    if not name.startswith(("torch.optim.", "torch.nn.")) or module not in sys.modules:
        return False
    found = getattr(sys.modules[module], last, None)
    kinds = (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    return isinstance(found, type) and issubclass(found, kinds)
