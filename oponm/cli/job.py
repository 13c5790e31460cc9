"""What each process of a run does: build, train, evaluate."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from oponm.cli.build import build, build_phase_cache, trainer_options
from oponm.cli.loggers import open_loggers
from oponm.cli.resume import state_to_go_on_from
from oponm.cli.run_directory import begin
from oponm.training import train
from oponm.training.processes import rank


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
    first = rank() == 0
    with ExitStack() as resources:
        loggers = resources.enter_context(open_loggers(config)) if first else []
        state = state_to_go_on_from(folder) if begun else None
        if first:
            begin(folder, config, overrides)
        measured = train(
            *(module, data, plan, folder, loggers, build_phase_cache(config), state),
            checkpoint_every=timedelta(minutes=config.trainer.checkpoint_every_minutes),
            checkpoint_every_n_steps=config.trainer.checkpoint_every_n_steps,
            on_nonfinite=config.trainer.on_nonfinite,
            **trainer_options(config),
        )
    return {**measured, "skipped_files": data.skipped}
