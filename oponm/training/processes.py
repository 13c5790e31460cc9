"""One run in several processes, one a device, over ``torch.distributed``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from oponm.training.batchnorm_sync import BatchNormSync


def rank() -> int:
    """This process's place among those of the run; 0 where it is the only one.

    Example:
        >>> rank()
        0
    """
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """The number of processes of the run.

    Example:
        >>> world_size()
        1
    """
    return distributed.get_world_size() if distributed.is_initialized() else 1


def join() -> None:
    """Meet the other processes that ``torchrun``, or a launcher that sets the same variables, has started."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"  # what a run on the CPU does not use is never set up
    # The agent keeps its store over a restart, and with it the addresses of processes that are gone.
    store, this, size = next(distributed.rendezvous("env://"))
    attempt = distributed.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    distributed.init_process_group(backend, store=attempt, rank=this, world_size=size)


def first_says(said: Any) -> Any:
    """What the first process of the run says, in all of them; all must call it.

    Args:
        said: by this process; of the others it is not heard.

    Example:
        >>> first_says("done")
        'done'
    """
    box = [said]
    if distributed.is_initialized():
        distributed.broadcast_object_list(box, src=0)
    return box[0]


def everyone_says(said: Any) -> list[Any]:
    """What each process of the run says, by rank, in all of them; all must call it.

    Args:
        said: by this process.

    Example:
        >>> everyone_says("done")
        ['done']
    """
    heard = [said] * world_size()
    if distributed.is_initialized():
        distributed.all_gather_object(heard, said)
    return heard


def largest(numbers: Sequence[int], device: torch.device) -> list[int]:
    """The largest of each number among the processes of the run; all must call it.

    Args:
        numbers: of this process.
        device: of the run.

    Example:
        >>> largest([3, 0], torch.device("cpu"))
        [3, 0]
    """
    if world_size() == 1:
        return list(numbers)
    together = torch.tensor(numbers, device=device)
    distributed.all_reduce(together, distributed.ReduceOp.MAX)
    return [int(number) for number in together.tolist()]


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def process_options(parts: bool = False, sync_batchnorm: bool = False) -> dict[str, Any]:
    """The options of Lightning's trainer for this process and those it has joined.

    Args:
        parts: some weights get no gradient in some steps.
        sync_batchnorm: batch norms standardise by the rows of all processes.
    """
    size = world_size()
    if size == 1:
        return {"devices": 1}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return {
        "devices": local,
        "num_nodes": size // local,
        "strategy": DDPStrategy(find_unused_parameters=parts),
        "plugins": [TorchElasticEnvironment(), *([BatchNormSync()] if sync_batchnorm else [])],
    }
