"""Selects the validation metric that a run returns to a sweeper; metrics of the test set are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.errors import InputError

KEY = "optimized_metric"
_EVERY = ("BasicSweeper", "RowsSweeper")  # these sweepers run every combination and need no metric


def check_optimized(config: DictConfig) -> None:
    """Check before training that the run will have the metric that the sweeper needs.

    Args:
        config: the run's config.

    Raises:
        InputError: if ``optimized_metric`` names no metric of the validation set; if the sweeper optimizes (all but
            Hydra's basic one and ``rows`` do) and the metric or the validation set is missing; or for a sweeper
            without ``-m``.
    """
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.RUN and not hydra.sweeper["_target_"].endswith(_EVERY[0]):
        raise InputError("is for sweeps: add -m", "hydra/sweeper")
    name = config.get(KEY)
    if name is not None and not (isinstance(name, str) and name.startswith("val/")):
        raise InputError(f"must be a metric of the validation set, such as val/balanced_accuracy, got {name!r}", KEY)
    if not _sweeper_asks():
        return
    if name is None:
        raise InputError("is null, but the sweeper needs a metric: set it to val/balanced_accuracy", KEY)
    if config.data.get("val", "none") == "none":
        raise InputError(f"is none, but the sweeper needs {name}: set data.val=split", "data.val")


def optimized(config: DictConfig, result: Mapping[str, Any]) -> float | None:
    """Return the value of ``optimized_metric`` in the last epoch; None if the run lacks it and no sweeper needs it.

    Args:
        config: the run's config.
        result: the content of ``result.json``.

    Raises:
        InputError: if the sweeper optimizes (all but Hydra's basic one and ``rows`` do) and the run lacks the metric.
    """
    measured = result.get("validation_metrics") or {}
    if (value := measured.get(config.get(KEY))) is not None:
        return float(value)
    if _sweeper_asks():
        remedy = f"set it to one of {', '.join(measured)}" if measured else "set data.val=split"
        raise InputError(f"is {config.get(KEY)!r}, which this run did not measure: {remedy}", KEY)
    return None


def _sweeper_asks() -> bool:
    hydra = HydraConfig.get()
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"].rpartition(".")[2] not in _EVERY
