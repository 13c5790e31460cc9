"""``oponm train``: one run, or with ``-m`` a sweep of runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.cli.distributed import lead, together
from oponm.cli.hydra_app import launch
from oponm.cli.recorded import Recorded, read_recorded, resumed_run
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.run_files import CONFIG_FILE, LOCK_FILE, remove_unbegun

OPTIMIZED = "optimized_metric"
_EVERY = ("BasicSweeper", "RowsSweeper")  # these sweepers run every combination and need no metric


def run(arguments: list[str]) -> None:
    """Compose the config from ``arguments`` and run it; a process that is not the first takes part in the run."""
    with together():
        recorded, completed = resumed_run(arguments)
        launch("train", completed, partial(_train, recorded=recorded), recorded)


def _train(config: DictConfig, recorded: Recorded) -> float | None:
    from oponm.cli.wandb_defaults import fill_in_wandb

    hydra = HydraConfig.get()
    one_line = hydra.mode == RunMode.MULTIRUN
    identity = recorded.identify()
    config.output_dir = hydra.runtime.output_dir if config.output_dir else ""
    try:
        check_settings(config)  # before torch is imported
        check_optimized(config)
    except Exception:
        if not {CONFIG_FILE, LOCK_FILE} & {path.name for path in Path(config.output_dir).glob("*")}:
            remove_unbegun(Path(config.output_dir))
        raise
    if config.resume:
        read_recorded(Path(config.output_dir), "resume")  # raises for a damaged file
    fill_in_wandb(config, identity["choices"], Path(config.output_dir), hydra.sweep.dir if one_line else None)
    done = lead(config, identity["choices"], identity["overrides"])
    from oponm.cli.summary import print_summary

    print_summary(done.result, done.folder, one_line)
    return optimized(config, done.result)


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
    name = config.get(OPTIMIZED)
    if name is not None and not (isinstance(name, str) and name.startswith("val/")):
        raise InputError(
            f"must be a metric of the validation set, such as val/balanced_accuracy, got {name!r}", OPTIMIZED
        )
    if not _sweeper_asks():
        return
    if name is None:
        raise InputError("is null, but the sweeper needs a metric: set it to val/balanced_accuracy", OPTIMIZED)
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
    if (value := measured.get(config.get(OPTIMIZED))) is not None:
        return float(value)
    if _sweeper_asks():
        remedy = f"set it to one of {', '.join(measured)}" if measured else "set data.val=split"
        raise InputError(f"is {config.get(OPTIMIZED)!r}, which this run did not measure: {remedy}", OPTIMIZED)
    return None


def _sweeper_asks() -> bool:
    hydra = HydraConfig.get()
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper["_target_"].rpartition(".")[2] not in _EVERY
