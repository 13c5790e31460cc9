"""The options of Lightning's trainer, from a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from oponm.errors import check_flag
from oponm.known_settings import own_options

_PLACED = ("max_epochs", "devices", "num_nodes", "_target_")  # which the run itself passes on


def trainer_options(config: DictConfig, objects: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What goes to :func:`~oponm.training.make_trainer`: Lightning's options, and its class.

    Args:
        config: of a run.
        objects: in place of some of them, by name.
    """
    given: Any = OmegaConf.to_container(config.trainer, resolve=True)
    objects = objects or {}
    left = (*own_options(), *_PLACED, *objects)
    passed = {key: value for key, value in given.items() if key not in left and value is not None}
    options: dict[str, Any] = {**instantiate(passed, _convert_="all"), **objects}
    options["sync_batchnorm"] = check_flag("sync_batchnorm", given["sync_batchnorm"])
    if (target := given.get("_target_")) and target != "pytorch_lightning.Trainer":
        options["trainer_class"] = get_class(target)
    if not isinstance(plugins := options.get("plugins", []), list):
        options["plugins"] = [plugins]
    if isinstance(profiler := options.get("profiler"), str):
        options["profiler"] = _profiler(profiler, config.output_dir)
    return options


def _profiler(name: str, folder: str) -> Any:
    """Lightning's profiler of a name, which writes into the run's folder."""
    from pytorch_lightning import profilers

    kinds: Mapping[str, Any] = {"simple": profilers.SimpleProfiler, "advanced": profilers.AdvancedProfiler}
    return kinds[name](dirpath=folder, filename="profile") if name in kinds else name
