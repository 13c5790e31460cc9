"""Starts a job through Hydra, with this project's config folder and resolvers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from oponm.cli.config import options_first, quote_paths
from oponm.cli.errors import ROOM, kept_step, one_line_errors
from oponm.cli.plugins import store_plugins
from oponm.cli.recorded import NAME, Recorded, compose_with
from oponm.cli.requeue import requeue, resume_if_run_again
from oponm.cli.sweep import Sweep, conclude
from oponm.configs import CONF_DIR, groups
from oponm.errors import InputError
from oponm.output import unfailing_output
from oponm.signals import SIGNALED, AtOnce, Stopped

SWEEPING = ("sweep=", "hparams_search=")  # choices that make a command a sweep


class Task:
    """Function that Hydra calls for each config, in this process or in one that a launcher has started.

    A signal, or an error of a single run, ends the process with one line. Errors of a sweep's job are raised to Hydra,
    which passes them to the callback :class:`~oponm.cli.sweep.Sweep`.

    Args:
        job: function from the config to the value of ``optimized_metric``, or to None if the run has none.
        full: text of the remedy that the error names if the disk is full.
    """

    def __init__(self, job: Callable[[DictConfig], float | None], full: str) -> None:
        self.job, self.full = job, full

    def __call__(self, config: DictConfig) -> float | None:
        """Run the job."""
        with unfailing_output(), one_line_errors(self.full):
            try:
                with AtOnce():
                    return self.job(resume_if_run_again(config))
            except Stopped as stopped:
                if stopped.step is None:
                    stopped.step = kept_step(Path(config.output_dir))
                raise
            except Exception as error:
                if HydraConfig.get().mode != RunMode.MULTIRUN:
                    raise
                failure = error
        raise failure


def launch(
    command: str,
    arguments: Sequence[str],
    job: Callable[[DictConfig], float | None],
    recorded: Recorded = Recorded(),  # noqa: B008 (frozen)
) -> None:
    """Compose the config of ``command`` from ``arguments``, and run ``job`` on it or on each config of a sweep.

    Args:
        command: ``"train"`` or ``"eval"``, the name of a config file.
        arguments: overrides and Hydra's own options.
        job: function from the config to the value of ``optimized_metric``, or to None if the run has none.
        recorded: the recorded run whose config the arguments override; if it is empty, the config comes from the files.

    Raises:
        InputError: for a config group set to null, a list in ``output_dir``, or mutually exclusive options of Hydra.
    """
    store_plugins()
    for group, choices in groups().items():
        if {f"{group}=null", f"+{group}=null", f"{group}=", f"+{group}="} & set(arguments):
            if group in ("sweep", "experiment", "hparams_search"):
                raise InputError(f"is null: leave it out, or take a choice that 'oponm help' lists for {group}", group)
            raise InputError(f"must be one of {', '.join(choices)}, got null", group)
    sweeps = {"-m", "--multirun"} & set(arguments) or any(one.startswith(SWEEPING) for one in arguments)
    if sweeps and any(_is_list(argument) for argument in arguments):
        raise InputError(
            "names one folder, that of the sweep, in which each run gets its own: give one path, not a list",
            "output_dir",
        )
    options, overrides = options_first(arguments)
    overrides = quote_paths(overrides)
    name, full = command, ROOM if command != "train" else "make room; resume=RUN_DIR resumes"
    if recorded.config:
        name, overrides = NAME, compose_with(recorded, overrides, command)
    sys.argv = [f"oponm {command}", *options, *overrides]

    Sweep.folder = None
    with AtOnce():  # a signal between two jobs ends the sweep like one in a job
        try:
            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)(Task(job, full))()
        except BaseException as error:
            if Sweep.folder:
                conclude(Sweep.folder)
                if isinstance(error, Stopped):
                    print(f"oponm: {error}", file=sys.stderr)
                    requeue(error.signal)
                    sys.exit(SIGNALED + error.signal)
            if isinstance(error, ValueError) and str(error).startswith("Only one of --"):  # Hydra has no class for it
                raise InputError(str(error)) from None
            raise
        if Sweep.folder and (code := conclude(Sweep.folder)):
            sys.exit(code)


def _is_list(argument: str) -> bool:
    """Whether an override of ``output_dir`` would be swept."""
    key, _, value = argument.partition("=")
    return key == "output_dir" and "," in value and value[:1] not in "\"'"
