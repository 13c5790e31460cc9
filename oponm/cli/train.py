"""``oponm train``: one run, or with ``-m`` a sweep of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from oponm.cli.hydra_app import launch
from oponm.cli.kept import ending_at_signals
from oponm.cli.keys import refuse_unknown_keys
from oponm.cli.launched import lead, together
from oponm.cli.optimized import check_optimized, optimized
from oponm.cli.processes import run_in_processes
from oponm.cli.recorded import Recorded, read_recorded
from oponm.cli.resume import resumed_run
from oponm.errors import InputError, check_int
from oponm.launched import launched_elsewhere
from oponm.run_files import CONFIG_FILE


def run(arguments: list[str]) -> None:
    """Compose the config from ``arguments`` and run it; as a later one of several processes, take part in the run."""

    def command() -> None:
        recorded, completed = resumed_run(arguments)
        launch("train", completed, partial(_train, recorded=recorded), recorded)

    if launched_elsewhere():
        together(command)
    else:
        command()


def _train(config: DictConfig, recorded: Recorded) -> float | None:
    from oponm.cli.quiet import quiet_libraries
    from oponm.cli.run_directory import run_directory
    from oponm.cli.summary import print_summary
    from oponm.cli.wandb_defaults import fill_in_wandb

    started = time.perf_counter()
    one_line = HydraConfig.get().mode == RunMode.MULTIRUN
    identity = identify(config, recorded)
    with ending_at_signals(config), run_directory(config) as folder:
        begun = bool(config.resume) and (folder / CONFIG_FILE).is_file()
        refuse_unknown_keys(config)  # before anything that takes time is imported
        check_optimized(config)
        quiet_libraries()
        if begun:
            from oponm.training.run_folder import code_of_run, finished_result, require_same_input

            read_recorded(folder, "resume")  # where a file is damaged, this says so
            if finished := finished_result(folder, config):
                from oponm.cli.build import build_data

                data = build_data(config)
                require_same_input(folder, finished, data, code_of_run(config, type(data)))
                print_summary(finished, folder, one_line)
                return optimized(config, finished)
        start = _start_of(config)
        fill_in_wandb(config, identity["choices"], folder, HydraConfig.get().sweep.dir if one_line else None)
        measured = start(config, folder, identity["overrides"], begun)
        from oponm.run_settings import PUBLISHED
        from oponm.training.run_folder import finish

        settings: Any = OmegaConf.to_container(config)
        published = {key: settings[key] for key in PUBLISHED}
        result = finish(folder, identity, measured, started, published)
        print_summary(result, folder, one_line)
    return optimized(config, result)


def _start_of(config: DictConfig) -> Callable[[DictConfig, Path, list[str], bool], dict[str, Any]]:
    """How the run is started: here, in processes of its own, or in those that have been launched already."""
    devices = check_int("devices", config.trainer.devices, minimum=1)
    nodes = check_int("num_nodes", config.trainer.num_nodes, minimum=1)
    restarts = check_int("max_restarts", config.trainer.max_restarts, minimum=0)
    if launched_elsewhere():
        if restarts:
            raise InputError(
                "must be 0 where torchrun or srun starts the processes: torchrun --max-restarts=... starts them anew, "
                "and with output_dir=... they go on",
                "trainer.max_restarts",
            )
        return lead
    if nodes > 1:
        raise InputError(
            f"of {nodes} needs one process a device on each machine: launch the command with srun, or as "
            "torchrun --nnodes=... --nproc-per-node=... -m oponm train ...",
            "trainer.num_nodes",
        )
    if devices > 1 or restarts:  # a process that is to be started anew is not this one
        return run_in_processes
    from oponm.cli.job import run_job

    return run_job


def identify(config: DictConfig, recorded: Recorded) -> dict[str, Any]:
    """What was run: the choice in each config group, the overrides, the seed."""
    hydra = HydraConfig.get()
    overrides = recorded.all_overrides(hydra.overrides.task)
    return {"choices": recorded.all_choices(hydra.runtime.choices), "overrides": overrides, "seed": config.seed}
