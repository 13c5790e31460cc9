"""The figure that a run gives to the sweeper that asked for it: one of the validation set, never of the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.errors import InputError

KEY = "optimized_metric"
_EVERY = ("BasicSweeper", "RowsSweeper")  # run every combination, whatever comes out


def check_optimized(config: DictConfig) -> None:
    """See, before anything is trained, that the sweeper will get what it asks for.

    Args:
        config: the run's config.

    Raises:
        InputError: if ``optimized_metric`` names no figure of the validation set; or if a sweeper other than Hydra's
            basic one asks, and there is no such set.
    """
    name = config.get(KEY)
    if name is not None and not (isinstance(name, str) and name.startswith("val/")):
        raise InputError(f"must be a figure of the validation set, such as val/balanced_accuracy, got {name!r}", KEY)
    if not _sweeper_asks():
        return
    if name is None:
        raise InputError("is null, and the sweeper needs a figure: set it to val/balanced_accuracy", KEY)
    if config.data.get("val", "none") == "none":
        raise InputError(f"is none, and the sweeper needs {name}: set data.val=split", "data.val")


def optimized(config: DictConfig, result: Mapping[str, Any]) -> float | None:
    """What a run returns to Hydra: the figure of its last epoch, or None where it has none and none is asked for.

    Args:
        config: the run's config.
        result: the content of ``result.json``.

    Raises:
        InputError: if a sweeper other than Hydra's basic one asks for a figure that the run does not have.
    """
    measured = result.get("validation_metrics") or {}
    if (value := measured.get(config.get(KEY))) is not None:
        return float(value)
    if _sweeper_asks():
        known = f"one of {', '.join(measured)}" if measured else "known for runs with data.val=split"
        raise InputError(f"is {config.get(KEY)!r}, which this run did not measure: it must be {known}", KEY)
    return None


def _sweeper_asks() -> bool:
    hydra = HydraConfig.get()
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"].rpartition(".")[2] not in _EVERY
