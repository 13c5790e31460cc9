"""Reads the options of Lightning's trainer from a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import profilers

from oponm.errors import check_flag
from oponm.known_settings import own_options

_PROFILERS: Mapping[str, Any] = {"simple": profilers.SimpleProfiler, "advanced": profilers.AdvancedProfiler}
_PLACED = ("max_epochs", "devices", "num_nodes", "_target_")  # the run itself passes these on


def trainer_options(trainer: DictConfig, folder: str, objects: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arguments of :func:`~oponm.training.make_trainer` in a config: Lightning's options and the trainer's class.

    Args:
        trainer: the settings under ``trainer``.
        folder: the run's folder, to which a profiler writes.
        objects: objects in place of some options, by name.
    """
    given: Any = OmegaConf.to_container(trainer, resolve=True)
    objects = objects or {}
    left = (*own_options(), *_PLACED, *objects)
    passed = {key: value for key, value in given.items() if key not in left and value is not None}
    options: dict[str, Any] = {**instantiate(passed, _convert_="all"), **objects}
    options["sync_batchnorm"] = check_flag("sync_batchnorm", given["sync_batchnorm"])
    if (target := given.get("_target_")) and target != "pytorch_lightning.Trainer":
        options["trainer_class"] = get_class(target)
    if not isinstance(plugins := options.get("plugins", []), list):
        options["plugins"] = [plugins]
    if kind := _PROFILERS.get(str(options.get("profiler"))):  # which write to files
        options["profiler"] = kind(dirpath=folder, filename="profile")
    return options
