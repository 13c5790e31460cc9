"""``oponm train``: one run, or with ``-m`` a sweep of runs."""

from __future__ import annotations

import time
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.cli.hydra_app import launch


def run(arguments: list[str]) -> None:
    """Compose the config from ``arguments`` and run it."""
    launch("train", arguments, _train)


def _train(config: DictConfig) -> float:
    from oponm.cli.build import build, trainer_options
    from oponm.cli.loggers import open_loggers
    from oponm.cli.quiet import quiet_libraries
    from oponm.cli.run_directory import begin, run_directory
    from oponm.cli.summary import print_summary
    from oponm.training import train
    from oponm.training.result import environment, write_json

    quiet_libraries()
    started = time.perf_counter()
    with run_directory(config) as folder:
        module, data, plan = build(config)
        with open_loggers(config) as loggers:
            begin(folder, config, HydraConfig.get().overrides.task)
            measured = train(module, data, plan, folder, loggers, **trainer_options(config))
        result = {
            **identify(config),
            **measured,
            "seconds": round(time.perf_counter() - started, 3),
            "skipped_files": data.skipped,
            **environment(),
        }
        write_json(folder / "result.json", result)
        print_summary(result, folder, one_line=HydraConfig.get().mode == RunMode.MULTIRUN)
    return float(measured["metrics"]["balanced_accuracy"])


def identify(config: DictConfig) -> dict[str, Any]:
    """What was run: the choice in each config group, the overrides, the seed."""
    choices = {name: value for name, value in HydraConfig.get().runtime.choices.items() if "/" not in name and value}
    return {"choices": choices, "overrides": list(HydraConfig.get().overrides.task), "seed": config.seed}
