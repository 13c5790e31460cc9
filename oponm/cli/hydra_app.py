"""Start a job through Hydra, with this project's config folder and resolvers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig, OmegaConf

from oponm.cli.arguments import quote_paths
from oponm.cli.configuration import folder_name
from oponm.cli.errors import one_line_errors
from oponm.configs import CONF_DIR, groups
from oponm.errors import InputError


def launch(command: str, arguments: Sequence[str], job: Callable[[DictConfig], float]) -> None:
    """Compose the config of ``command`` from ``arguments`` and run ``job`` on it, or on each config of a sweep.

    Args:
        command: ``"train"`` or ``"eval"``, the name of a config file.
        arguments: overrides and Hydra's own options.
        job: returns the figure that a sweeper may optimise.

    Raises:
        InputError: for a config group set to null.
    """
    for group, choices in groups().items():
        if group not in ("sweep", "experiment") and f"{group}=null" in arguments:
            raise InputError(f"must be one of {', '.join(choices)}, got null", group)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    sys.argv = [f"oponm {command}", *quote_paths(arguments)]

    def guarded(config: DictConfig) -> float:
        with one_line_errors():
            return job(config)

    hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=command)(guarded)()
