"""``oponm eval``: a checkpoint on the test set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.hydra_app import launch
from oponm.cli.run_directory import OVERRIDES_FILE
from oponm.data import LongTailDataModule
from oponm.errors import InputError

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> None:
    """Compose the config of the checkpoint's run with ``arguments`` on top, and evaluate."""
    launch("eval", [*_overrides_of_run(arguments), *arguments], _evaluate)


def _overrides_of_run(arguments: list[str]) -> list[str]:
    """What the run that wrote the checkpoint had been told, but where its files should go."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "checkpoint" and (file := Path(value).parent.parent / OVERRIDES_FILE).is_file():
            overrides = [str(override) for override in OmegaConf.load(file)]
            own = ("output_dir=", "sweep=", "logger=", "logger.", "hydra.")
            return [override for override in overrides if not override.lstrip("+~").startswith(own)]
    return []


def _evaluate(config: DictConfig) -> float:
    from oponm.cli.build import build, trainer_options, with_full_keys
    from oponm.cli.loggers import open_loggers
    from oponm.cli.quiet import quiet_libraries
    from oponm.cli.run_directory import begin, run_directory
    from oponm.cli.summary import print_summary
    from oponm.cli.train import identify
    from oponm.training import evaluate
    from oponm.training.checkpoint import load_weights
    from oponm.training.result import environment, write_json

    quiet_libraries()
    with run_directory(config) as folder:
        module, data, _ = build(config)
        checkpoint = Path(str(config.checkpoint))
        trained_on = with_full_keys(config, lambda: load_weights(module.model, checkpoint))
        _check_split(trained_on, data)
        identity = identify(config)
        with open_loggers(config) as loggers:
            begin(folder, config, identity["overrides"])
            measured = evaluate(module, data, loggers, **trainer_options(config))
        result = {
            **identity,
            **measured,
            "checkpoint": str(checkpoint.resolve()),
            "skipped_files": data.skipped,
            **environment(),
        }
        write_json(folder / "result.json", result)
        print_summary(result, folder)
    return float(measured["metrics"]["balanced_accuracy"])


def _check_split(trained_on: dict[str, Any], data: LongTailDataModule) -> None:
    """Compare what the checkpoint was trained on, as far as it says, with what it is to be evaluated on."""
    if trained_on.get("class_names", data.class_names) != data.class_names:
        classes = f"{_listed(trained_on['class_names'])}; the data has {_listed(data.class_names)}"
        raise InputError(f"was trained on the classes {classes}", "checkpoint")
    if trained_on.get("content_digest", data.content_digest) != data.content_digest:
        log.warning("the training split is not the one of the checkpoint: it may have been trained on test images")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
