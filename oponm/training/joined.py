"""Join the other processes that ``torchrun`` or ``srun`` has started."""

from __future__ import annotations

import atexit
import os

from torch import distributed

from oponm.errors import InputError
from oponm.training.processes import join, leave, world_size


def join_launched() -> None:
    """Meet the other processes that have been started beside this one."""
    if "RANK" not in os.environ:
        _take_over_from_slurm()
    join()


def join_for_good() -> None:
    """As :func:`join_launched`, once in a program, and until it ends."""
    if not distributed.is_initialized():
        join_launched()
        atexit.register(leave)


def check_number(devices: int, num_nodes: int, key: str = "devices") -> None:
    """See that as many processes were launched as a run asks for.

    Args:
        devices: of the run, on each machine.
        num_nodes: machines.
        key: what names the first of them.

    Raises:
        InputError: if it asks for others.

    Example:
        >>> check_number(2, 1)
        Traceback (most recent call last):
        oponm.errors.InputError: devices times num_nodes is 2, and 1 processes were launched: make them equal
    """
    wanted = devices * num_nodes
    if wanted != world_size():
        raise InputError(
            f"times num_nodes is {wanted}, and {world_size()} processes were launched: make them equal", key
        )


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
