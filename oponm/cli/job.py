"""What each process of a run does: build, train, evaluate."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from oponm.cli.build import build, build_phase_cache, trainer_options
from oponm.cli.loggers import open_loggers
from oponm.errors import InputError
from oponm.logging import Dashboard
from oponm.training.job import carry_out
from oponm.training.processes import only_first, rank


def run_job(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train and evaluate as a config says; of several processes the first one writes.

    Args:
        config: of the run.
        folder: of the run.
        overrides: that made the config.
        begun: the folder holds a run to go on with.

    Returns:
        The content of ``result.json`` as far as it is measured here.

    Raises:
        InputError: for whatever in the config cannot be used, by its full key; nothing is written then.
    """
    module, data, plan = build(config)
    with ExitStack() as resources:
        with only_first((InputError, OSError, HydraException, OmegaConfBaseException)):
            loggers = resources.enter_context(open_loggers(config)) if rank() == 0 else []
        dashboard = Dashboard(loggers)
        settings: Any = OmegaConf.to_container(config, resolve=True)
        measured = carry_out(
            *(module, data, plan, folder, dashboard.loggers, config, overrides, begun, build_phase_cache(config)),
            opened=lambda: dashboard.begin(data, settings),
            checkpoint_every=timedelta(minutes=config.trainer.checkpoint_every_minutes),
            checkpoint_every_n_steps=config.trainer.checkpoint_every_n_steps,
            on_nonfinite=config.trainer.on_nonfinite,
            **trainer_options(config),
        )
        dashboard.end_training(module, data, measured, folder)
    return measured
