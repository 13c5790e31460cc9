"""Be one of the processes that ``torchrun`` or ``srun`` has started: the first one leads, the others follow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input, one_line_errors
from oponm.errors import InputError
from oponm.signals import AtOnce, Stopped

FIRST_SPECIAL_STEP = 0xFFFFFFF0  # SLURM's interactive, batch and extern steps, and those that have not begun


def launched_elsewhere() -> bool:
    """Whether ``torchrun`` or ``srun`` has started this process as one of several."""
    if "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", 1)) > 1
    several = int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ
    return several and _is_step(os.environ.get("SLURM_STEP_ID", os.environ.get("SLURM_STEPID", "")))


def _is_step(number: str) -> bool:
    """Whether a step of a SLURM job is one of srun's; that of the batch script and the like have high numbers or none.

    Example:
        >>> [_is_step(number) for number in ("0", "", "batch", "4294967291")]
        [True, False, False, False]
    """
    return number.isdecimal() and int(number) < FIRST_SPECIAL_STEP


def together(command: Callable[[], None]) -> None:
    """Run a command in the first process; the others take part in each run that it trains, until it is over.

    Args:
        command: calls :func:`lead` for each run.
    """
    from oponm.training.processes import first_says, rank

    with _joined():
        if rank() > 0:
            _follow()
            return
        try:
            with one_line_errors():  # said before the others end, after which torchrun may end this one
                command()
        finally:
            first_says(None)


def lead(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train as the first of the processes; arguments are those of a job.

    Raises:
        InputError: if their number is not that of the config.
    """
    from oponm.cli.job import run_job
    from oponm.training.processes import all_came, first_says, leave, world_size

    if world_size() == 1:
        raise ChildProcessError("the other processes ended in an earlier run")
    wanted = config.trainer.devices * config.trainer.num_nodes
    if wanted != world_size():
        raise InputError(
            f"times num_nodes is {wanted}, and {world_size()} processes were launched: make them equal",
            "trainer.devices",
        )
    first_says((OmegaConf.to_container(config, resolve=True), str(folder), overrides, begun))
    try:
        measured = run_job(config, folder, overrides, begun)
    except BaseException as error:
        told = isinstance(error, Stopped) or is_bad_input(error)
        if not (told and all_came(_end_of(folder))):
            leave()  # so that the others, who have had no such error, do not wait for this one
        raise
    all_came(_end_of(folder), seconds=0)
    return measured


def _end_of(folder: Path | str) -> str:
    return f"end of {folder}"


def _follow() -> None:
    """Train what the first process says, run after run; what this one alone cannot use it says itself."""
    from oponm.cli.job import run_job
    from oponm.cli.quiet import quiet_libraries, quiet_process
    from oponm.training.processes import all_came, first_says, leave

    quiet_libraries()
    quiet_process()
    code = 0
    while said := first_says(None):
        config, folder, overrides, begun = said
        try:
            with AtOnce():
                run_job(OmegaConf.create(config), Path(folder), overrides, begun)
            all_came(_end_of(folder), seconds=0)
        except (Exception, Stopped) as error:
            if isinstance(error, ChildProcessError):  # the first one says why
                code = 1
            elif isinstance(error, Stopped):
                code = SIGNALLED + error.signal
            elif is_bad_input(error):
                code = BAD_INPUT
            else:
                leave()
                raise
            if not all_came(_end_of(folder)):
                leave()
                with one_line_errors():
                    raise
    sys.exit(code)


@contextmanager
def _joined() -> Iterator[None]:
    from oponm.training.processes import join, leave

    if "RANK" not in os.environ:
        _take_over_from_slurm()
    join()
    try:
        yield
    finally:
        leave()


def _take_over_from_slurm() -> None:
    """Set torch's variables from those of SLURM; a MASTER_ADDR or MASTER_PORT of the user's stays."""
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    told = os.environ
    nodes = told.get("SLURM_STEP_NODELIST", told.get("SLURM_NODELIST", told.get("SLURM_JOB_NODELIST", "127.0.0.1")))
    on_each_node = int(told["SLURM_NTASKS"]) // int(told.get("SLURM_NNODES", 1))
    port = 15000 + int(told.get("SLURM_JOB_ID", "0")[-4:])
    os.environ |= {
        "RANK": told["SLURM_PROCID"],
        "WORLD_SIZE": told["SLURM_NTASKS"],
        "LOCAL_RANK": told.get("SLURM_LOCALID", told["SLURM_PROCID"]),
        "LOCAL_WORLD_SIZE": str(on_each_node),
        "MASTER_ADDR": told.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes),
        "MASTER_PORT": told.get("MASTER_PORT") or str(port),
    }
