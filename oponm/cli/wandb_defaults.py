"""Fills in the name, group, job type and tags of a Weights & Biases run where the config has null."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.run_settings import recipe_and_method

_TAGGED = ("experiment", "data", "model", "method", "loss")
_LONGEST_TAG = 64


def fill_in_wandb(
    config: DictConfig, choices: Mapping[str, Any], folder: Path, sweep: str | None, job_type: str | None = None
) -> None:
    """Complete ``logger.wandb`` in place: name, group, job type and tags, each only where it is null.

    Args:
        config: the run's config.
        choices: dict from config group to choice.
        folder: the run's folder.
        sweep: the folder of the sweep that the run is part of; None for a run outside a sweep.
        job_type: job type of the Weights & Biases run; None takes ``EXPERIMENT/METHOD``, or ``METHOD`` without an
            experiment.

    Example:
        >>> config = OmegaConf.create({"seed": 3, "logger": {"wandb": {"group": None, "tags": ["mine"]}}})
        >>> fill_in_wandb(config, {"method": "open", "data": "digits_lt"}, Path("out/a"), "outputs/a_sweep")
        >>> OmegaConf.to_container(config.logger.wandb)
        {'group': 'outputs/a_sweep', 'tags': ['mine'], 'name': 'a', 'job_type': 'open'}
    """
    if "wandb" not in config.logger or not OmegaConf.is_dict(config.logger.wandb):
        return
    settings = config.logger.wandb
    chosen = [str(choices[group]) for group in _TAGGED if choices.get(group)]
    defaults = {
        "name": folder.name if sweep else f"{choices.get('method')} {choices.get('data')} seed {config.seed}",
        "group": wandb_group(choices, sweep),
        "job_type": job_type or recipe_and_method(choices),
        "tags": list(dict.fromkeys(name[:_LONGEST_TAG] for name in chosen)),
    }
    for key, value in defaults.items():
        if settings.get(key) is None:
            OmegaConf.update(settings, key, value, force_add=True)


def wandb_group(choices: Mapping[str, Any], sweep: str | None) -> str | None:
    """Return the choice of the group ``sweep``, or else the last two parts of the path of the sweep's folder.

    Args:
        choices: dict from config group to choice.
        sweep: the folder of the sweep; None for a run outside a sweep, for which None is returned.

    Example:
        >>> wandb_group({"sweep": "demo"}, "outputs/demo"), wandb_group({}, "/runs/outputs/2026-01-31/12-30-59")
        ('demo', '2026-01-31/12-30-59')
    """
    if sweep is None:
        return None
    return str(choices["sweep"]) if choices.get("sweep") else "/".join(Path(sweep).parts[-2:])
