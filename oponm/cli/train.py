"""``oponm train``: one run, or with ``-m`` a sweep of runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.cli.distributed import lead, together
from oponm.cli.hydra_app import launch
from oponm.cli.optimized import check_optimized, optimized
from oponm.cli.recorded import Recorded, read_recorded, resumed_run
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.run_files import CONFIG_FILE, LOCK_FILE, remove_unbegun


def run(arguments: list[str]) -> None:
    """Compose the config from ``arguments`` and run it; a process that is not the first takes part in the run."""
    with together():
        recorded, completed = resumed_run(arguments)
        launch("train", completed, partial(_train, recorded=recorded), recorded)


def _train(config: DictConfig, recorded: Recorded) -> float | None:
    from oponm.cli.wandb_defaults import fill_in_wandb

    hydra = HydraConfig.get()
    one_line = hydra.mode == RunMode.MULTIRUN
    identity = recorded.identify(config)
    config.output_dir = hydra.runtime.output_dir if config.output_dir else ""
    try:
        check_settings(config)  # before torch is imported
        check_optimized(config)
    except InputError:
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
