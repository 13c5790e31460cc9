"""Be one of the processes that ``torchrun`` or ``srun`` has started: the first one leads, the others follow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input
from oponm.errors import InputError


def launched_elsewhere() -> bool:
    """Whether ``torchrun`` or ``srun`` has started this process as one of several."""
    if "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", 1)) > 1
    return int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ


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
            command()
        finally:
            first_says(None)


def lead(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train as the first of the processes; arguments are those of a job.

    Raises:
        InputError: if their number is not that of the config.
    """
    from oponm.cli.job import run_job
    from oponm.training.processes import first_says, leave, world_size
    from oponm.training.signals import Stopped

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
        return run_job(config, folder, overrides, begun)
    except (InputError, Stopped):  # as in all of them
        raise
    except BaseException:
        leave()  # so that they do not wait for this one
        raise


def _follow() -> None:
    """Train what the first process says, run after run; what cannot be used it says itself, to the user."""
    from oponm.cli.job import run_job
    from oponm.cli.quiet import quiet_libraries, quiet_process
    from oponm.training.processes import first_says
    from oponm.training.signals import Stopped

    quiet_libraries()
    quiet_process()
    code = 0
    while said := first_says(None):
        config, folder, overrides, begun = said
        try:
            run_job(OmegaConf.create(config), Path(folder), overrides, begun)
        except Stopped as stopped:
            code = SIGNALLED + stopped.signal
        except Exception as error:
            if not is_bad_input(error):
                raise
            code = BAD_INPUT
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
