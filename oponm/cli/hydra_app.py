"""Start a job through Hydra, with this project's config folder and resolvers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig

from oponm.cli.arguments import options_first, quote_paths
from oponm.cli.configuration import register_resolvers
from oponm.cli.errors import ROOM
from oponm.cli.guarded import Guarded
from oponm.cli.launcher import gathering
from oponm.cli.recorded import NAME, Recorded, compose_with
from oponm.cli.sweep import Sweep, conclude
from oponm.configs import CONF_DIR, groups
from oponm.errors import InputError


def launch(
    command: str,
    arguments: Sequence[str],
    job: Callable[[DictConfig], float | None],
    recorded: Recorded = Recorded(),  # noqa: B008 (frozen)
) -> None:
    """Compose the config of ``command`` from ``arguments`` and run ``job`` on it, or on each config of a sweep.

    Args:
        command: ``"train"`` or ``"eval"``, the name of a config file.
        arguments: overrides and Hydra's own options.
        recorded: a run whose config the arguments are put on top of.
        job: returns the figure that a sweeper may optimize, if there is one.

    Raises:
        InputError: for a config group set to null, and for options of Hydra's that exclude each other.
    """
    for group, choices in groups().items():
        if {f"{group}=null", f"+{group}=null", f"{group}=", f"+{group}="} & set(arguments):
            if group in ("sweep", "experiment"):
                raise InputError(f"is null: leave it out for none; 'oponm help' lists the choices of {group}", group)
            raise InputError(f"must be one of {', '.join(choices)}, got null", group)
    sweeps = {"-m", "--multirun"} & set(arguments) or any(argument.startswith("sweep=") for argument in arguments)
    if sweeps and any(_is_list(argument) for argument in arguments):
        raise InputError(
            "names one folder, that of the sweep, in which each run has its own: give it once", "output_dir"
        )
    register_resolvers()
    options, overrides = options_first(arguments)
    overrides = quote_paths(overrides)
    name, full = command, ROOM if command != "train" else "make room; resume=RUN_DIR goes on"
    if recorded.config:
        name, overrides = NAME, compose_with(recorded, overrides, command)
    sys.argv = [f"oponm {command}", *options, *overrides]

    Sweep.folder = None
    try:
        with gathering():
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)(Guarded(job, full))()
    except BaseException as error:
        if Sweep.folder:
            conclude(Sweep.folder)
        if isinstance(error, ValueError) and str(error).startswith("Only one of --"):  # Hydra's, of no class of its own
            raise InputError(str(error)) from None
        raise
    if Sweep.folder and (code := conclude(Sweep.folder)):
        sys.exit(code)


def _is_list(argument: str) -> bool:
    """Whether an override of ``output_dir`` would be swept over."""
    key, _, value = argument.partition("=")
    return key == "output_dir" and "," in value and value[:1] not in "\"'"
