"""The validation figure that a run returns to a sweeper; it is never one of the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.errors import InputError

KEY = "optimized_metric"
_EVERY = ("BasicSweeper", "RowsSweeper")  # these sweepers run every combination and need no figure


def check_optimized(config: DictConfig) -> None:
    """Check before training that the run will have the figure that the sweeper needs.

    Args:
        config: the run's config.

    Raises:
        InputError: if ``optimized_metric`` names no figure of the validation set; or if a sweeper other than Hydra's
            basic one needs it, and there is no validation set.
    """
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.RUN and not hydra.sweeper["_target_"].endswith(_EVERY[0]):
        raise InputError("is for sweeps: add -m", "hydra/sweeper")
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
    """The figure of the last epoch that a run returns to Hydra; None where it has none and none is needed.

    Args:
        config: the run's config.
        result: the content of ``result.json``.

    Raises:
        InputError: if a sweeper other than Hydra's basic one needs a figure that the run does not have.
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
