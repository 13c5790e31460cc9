"""Runs one composed config, with objects in place of some of its settings, and writes the run's folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.loggers import Logger

from oponm.configs import plain
from oponm.data.split_file import write_split
from oponm.errors import InputError, check_choice, check_flag, check_int
from oponm.known_settings import check_settings
from oponm.launched import launched_elsewhere, restarted, started_here
from oponm.own_code import targets
from oponm.run_files import CONFIG_FILE, LOG_FILE, RESULT_FILE, left_of_start, logs_to, remove_unbegun, write_json
from oponm.training.build import build, build_data, build_each, build_phase_cache, full_keys
from oponm.training.callbacks.nonfinite import REACTIONS
from oponm.training.distributed import first_says, join_for_good, only_first, rank, world_size
from oponm.training.launch import run_in_processes
from oponm.training.loggers import open_loggers
from oponm.training.options import trainer_options
from oponm.training.phase_cache import PhaseCache
from oponm.training.quiet import quiet
from oponm.training.resolve import resolve
from oponm.training.result import environment
from oponm.training.run_folder import (
    begin,
    code_of_run,
    finished_result,
    require_same_input,
    state_to_resume,
)
from oponm.training.run_lock import is_free, sole_use
from oponm.training.runs import Run
from oponm.training.train import train

PRECISIONS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision
_OBJECTS = ("data", "model", "method", "noise", "optimizer", "schedule", "loss", "trainer")


def run(
    config: DictConfig | Mapping[str, Any],
    *,
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    loggers: Sequence[Logger] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    phase_cache: PhaseCache | None = None,
    started_from: str | None = None,
    **objects: Any,
) -> Run:
    """Train a network as a config says, evaluate it on the test set, and save the run in its folder.

    ``oponm train`` and :func:`~oponm.training.fit` call it. If ``trainer.devices`` asks for several processes, ``run``
    starts them, and is called again in each. If ``torchrun`` or ``srun`` has started them, call ``run`` in each.

    Args:
        config: the composed config of ``oponm train``. ``output_dir`` names the folder. If ``resume`` is set, the
            unfinished run in this folder is resumed, if there is one.
        choices: dict from config group to choice, for reports.
        overrides: overrides that turn the command line's defaults into the config, as ``key=value``, for reports.
        loggers: loggers that replace those of the config; None keeps them.
        callbacks: callbacks in addition to those of the config.
        phase_cache: a cache that replaces the config's; None keeps it.
        started_from: name of the function that a program called, for ``result.json``; None stands for the command.
        **objects: objects that replace config groups: ``data`` (a data module), ``model`` (a network, or a factory of
            one), ``method`` (phases), factories of ``noise``, ``optimizer``, ``schedule`` and ``loss``, and for
            ``trainer`` a dict from names of its options, such as ``strategy``, to objects.

    Returns:
        The finished run.

    Raises:
        InputError: with the full key of a setting that cannot be used, before anything is written; or later, if the
            loss diverges.
        Stopped: at a signal, after the step, with a checkpoint.
        ChildProcessError: if one of the processes that ``run`` started died.

    Example:
        >>> import tempfile
        >>> from oponm.configs import compose_choices
        >>> choices, config = compose_choices({"method": "erm"})
        >>> config |= {"output_dir": tempfile.mkdtemp(), "phase_cache": "off"}
        >>> config["trainer"]["max_epochs"] = 1
        >>> run(config, choices=choices).result["class_counts"]
        [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]
    """
    started = time.perf_counter()
    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    if unknown := objects.keys() - set(_OBJECTS):
        raise TypeError(f"run() has no object {sorted(unknown)[0]!r}: it is one of {', '.join(_OBJECTS)}")
    given = {name: thing for name, thing in objects.items() if thing is not None}
    with quiet(), own_folder(config.output_dir, config.get("resume")) as (folder, begun):
        check_settings(config)
        resolve(config)
        with _settings_of_torch(config.trainer):
            finished = _agreed(lambda: finished_result(folder, config) if begun else None)
            if finished:
                data = build_data(config, given)
                require_same_input(folder, finished, data, code_of_run(targets(config), type(data)))
            elif _starts_processes(config.trainer):
                logged = any(logs_to(handler, folder / LOG_FILE) for handler in logging.getLogger().handlers)
                call: dict[str, Any] = {"config": config, "choices": choices, "overrides": overrides}
                call |= {"loggers": loggers, "callbacks": callbacks, "phase_cache": phase_cache}
                call |= {"started_from": started_from, **objects}
                log = folder / LOG_FILE if logged else None
                run_in_processes(run, call, config.trainer.devices, config.trainer.max_restarts, log)
            else:
                cache = phase_cache or build_phase_cache(config.phase_cache)
                identity: dict[str, Any] = {"choices": dict(choices or {}), "overrides": list(overrides)}
                measured = _carry_out(config, folder, begun, identity, loggers, callbacks, cache, given)
                if rank() == 0:
                    identity |= {"seed": config.seed}
                    identity |= {"started_from": started_from} if started_from else {}
                    identity |= measured | {"seconds": round(time.perf_counter() - started, 3), **environment()}
                    write_json(folder / RESULT_FILE, identity)
                first_says(None)  # so that the others wait until the result is written
    return Run.load(folder, network=given.get("model"), data=given.get("data"))


def _carry_out(
    config: DictConfig,
    folder: Path,
    begun: bool,
    identity: Mapping[str, Any],
    loggers: Sequence[Logger] | None,
    callbacks: Sequence[pl.Callback],
    phase_cache: PhaseCache | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Build, train and evaluate in each process of the run; the first process writes."""
    check_choice("trainer.on_nonfinite", config.trainer.on_nonfinite, REACTIONS)
    module, data, plan = build(config, given)
    every = [*build_each("callbacks", config.callbacks, pl.Callback), *callbacks]
    correctable = (InputError, OSError, HydraException, OmegaConfBaseException)
    module.code = code_of_run(targets(config), *{type(part) for part in module.model.modules()}, type(data))
    with ExitStack() as resources:
        with only_first(correctable):
            opened = resources.enter_context(open_loggers(config.logger, loggers)) if rank() == 0 else []
        resources.enter_context(sole_use(folder, begun))
        state = state_to_resume(folder, data, module.code) if begun else None

        def ready() -> None:
            with only_first():
                if rank() == 0:
                    if not begun:
                        write_split(folder, data)
                    begin(folder, config, **identity)
                    _tell(every, "on_run_start", opened, data, plain(config))

        with full_keys(config):
            options = trainer_options(config.trainer, config.output_dir, given.get("trainer"))
        minutes = config.trainer.checkpoint_every_minutes
        measured = train(
            *(module, data, plan, folder, opened, phase_cache, state),
            checkpoint_every=timedelta(minutes=minutes),
            checkpoint_every_n_steps=config.trainer.checkpoint_every_n_steps,
            on_nonfinite=config.trainer.on_nonfinite,
            temperature_scaling=check_flag(
                "trainer.temperature_scaling", config.trainer.get("temperature_scaling", False)
            ),
            callbacks=every,
            ready=ready,
            **options,
        )
        if rank() == 0:
            _tell(every, "on_run_end", opened, module, data, measured, folder)
    return {**measured, "skipped_files": data.skipped, "code": module.code}


def _tell(callbacks: Sequence[pl.Callback], hook: str, *arguments: Any) -> None:
    """Call a hook that Lightning lacks: at the start of a run, or at its end after the evaluation."""
    for callback in callbacks:
        if call := getattr(callback, hook, None):
            call(*arguments)


def _starts_processes(trainer: DictConfig) -> bool:
    """Whether the run starts its own processes; if they were launched, check their number."""
    devices = check_int("trainer.devices", trainer.devices, minimum=1)
    nodes = check_int("trainer.num_nodes", trainer.num_nodes, minimum=1)
    restarts = check_int("trainer.max_restarts", trainer.max_restarts, minimum=0)
    if started_here():
        return False
    if launched_elsewhere():
        if restarts:
            raise InputError(
                "must be 0 if torchrun or srun starts the processes: use torchrun --max-restarts=... in its place, and "
                "set output_dir, so that restarted processes resume",
                "trainer.max_restarts",
            )
        if devices * nodes != world_size():
            found = f"{devices * nodes}, but {world_size()} processes were launched: make the numbers equal"
            raise InputError(f"times num_nodes is {found}", "trainer.devices")
        return False
    if nodes > 1:
        raise InputError(
            f"is {nodes}, which needs one process per device on each machine: launch the command with srun, or as "
            "torchrun --nnodes=... --nproc-per-node=... -m oponm train ...",
            "trainer.num_nodes",
        )
    return devices > 1 or restarts > 0  # this process cannot be restarted, only ones that it starts


@contextmanager
def own_folder(output_dir: str, resume: str | None) -> Iterator[tuple[Path, bool]]:
    """Context manager that yields the run's folder, and whether the folder holds a run to resume.

    After an error in the block, the folder is removed if the run has written no ``config.yaml`` and no other run uses
    the folder.

    Args:
        output_dir: the setting that names the folder.
        resume: the setting; None begins a run.

    Raises:
        InputError: if the folder holds files of another run, or other files.
    """
    if launched_elsewhere():
        join_for_good()
    folder = Path(str(output_dir))
    begun = _agreed(lambda: _look_into(output_dir, resume))
    try:
        yield folder, begun
    except BaseException:
        if rank() == 0 and not (folder / CONFIG_FILE).exists() and is_free(folder):
            remove_unbegun(folder)
        raise


def _look_into(output_dir: str, resume: str | None) -> bool:
    if not output_dir:
        raise InputError("must name a folder", "output_dir")
    folder = Path(str(output_dir))
    others = [path.name for path in folder.iterdir() if not left_of_start(path.name)] if folder.is_dir() else []
    begun = bool(resume or restarted()) and (folder / CONFIG_FILE).is_file()
    if others and not begun:
        log = folder / LOG_FILE  # which Hydra has begun by now
        if log.is_file() and not log.stat().st_size:
            log.unlink()
        remedy = "choose an empty or new folder, delete it, or resume its run by resume"
        raise InputError(f"{folder} holds {others[0]}: {remedy}", "output_dir")
    return begun


def _agreed(look: Callable[[], Any]) -> Any:
    """The result of a check that only the first process makes, as it soon writes the files that are looked for."""
    with only_first():
        found = look() if rank() == 0 else None
    return first_says(found)


@contextmanager
def _settings_of_torch(trainer: DictConfig) -> Iterator[None]:
    """Context manager that sets torch's number of threads and its matmul precision to those of the config."""
    number, before = trainer.num_threads, torch.get_num_threads()
    precision, precision_before = trainer.matmul_precision, torch.get_float32_matmul_precision()
    torch.set_num_threads(before if number is None else check_int("trainer.num_threads", number, minimum=1))
    torch.set_float32_matmul_precision(
        check_choice("trainer.matmul_precision", precision or precision_before, PRECISIONS)
    )
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(precision_before)
