"""``oponm eval``: a checkpoint on the test set."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from oponm.cli.arguments import quote_paths
from oponm.cli.configuration import CONF_DIR
from oponm.cli.errors import one_line_errors
from oponm.cli.run_directory import OVERRIDES_FILE


def run(arguments: list[str]) -> None:
    """Compose the config of the checkpoint's run with ``arguments`` on top, and evaluate."""
    sys.argv = ["oponm eval", *_overrides_of_run(arguments), *quote_paths(arguments)]
    hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="eval")(_job)()


def _overrides_of_run(arguments: list[str]) -> list[str]:
    """What the run that wrote the checkpoint had been told, but where its files should go."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "checkpoint" and (file := Path(value).parent.parent / OVERRIDES_FILE).is_file():
            overrides = quote_paths([str(override) for override in OmegaConf.load(file)])
            own = ("output_dir=", "sweep=", "logger=", "logger.", "hydra.")
            return [override for override in overrides if not override.lstrip("+~").startswith(own)]
    return []


def _job(config: DictConfig) -> float:
    with one_line_errors():
        return _evaluate(config)


def _evaluate(config: DictConfig) -> float:
    from oponm.cli.build import build, trainer_options, with_full_keys
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
        with_full_keys(config, lambda: load_weights(module.model, checkpoint))
        identity = identify(config)
        begin(folder, config, identity["overrides"])
        measured = evaluate(module, data, **trainer_options(config))
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
