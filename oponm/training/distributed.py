"""One run in several processes, one per device, over ``torch.distributed``."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from oponm.errors import InputError
from oponm.signals import Stopped

TIMEOUT = timedelta(minutes=30)  # to wait for a process that is alive; a dead one is noticed at once
_stores: list[Any] = []  # stores of the process groups that this process has joined


def rank() -> int:
    """The rank of this process in the run; 0 where it is the only one.

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
    """Join the process group that ``torchrun``, or a launcher that sets the same variables, has started."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"  # backends are set up when first used
    # The agent keeps its store over a restart, and with it the addresses of dead processes.
    store, this, size = next(distributed.rendezvous("env://"))
    attempt = distributed.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    distributed.init_process_group(backend, store=attempt, rank=this, world_size=size, timeout=TIMEOUT)
    _stores[:] = [attempt]


def first_says(value: Any) -> Any:
    """Broadcast a value from rank 0 and return it in all processes of the run; all processes must call it.

    Args:
        value: the value to broadcast, any object that can be pickled; ignored in processes other than rank 0.

    Example:
        >>> first_says("done")
        'done'
    """
    box = [value]
    if distributed.is_initialized():
        distributed.broadcast_object_list(box, src=0)
    return box[0]


def everyone_says(value: Any) -> list[Any]:
    """Gather a value from each process of the run (all_gather); all processes must call it.

    Args:
        value: the value of this process, any object that can be pickled.

    Returns:
        The values of all processes, in order of rank.

    Example:
        >>> everyone_says("done")
        ['done']
    """
    gathered = [value] * world_size()
    if distributed.is_initialized():
        distributed.all_gather_object(gathered, value)
    return gathered


@contextmanager
def only_first(correctable: tuple[type[BaseException], ...] = (InputError, OSError)) -> Iterator[None]:
    """Context manager for work that only the first process does: if it fails there, all processes raise an error.

    All processes must enter the block, and do the work only if ``rank()`` is 0. At the end, all wait for the first one.

    Args:
        correctable: classes of the exceptions that the user can correct.

    Raises:
        InputError: in the other processes, with the same message, if the first one raises one of ``correctable``.
        Stopped: in the other processes, if a signal ends the first one.
        ChildProcessError: in the other processes, if the first one fails otherwise.

    Example:
        >>> with only_first():
        ...     raise InputError("cannot be written", "output_dir")
        Traceback (most recent call last):
        oponm.errors.InputError: output_dir cannot be written
    """
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        reason: Any = None
        if isinstance(failure, Stopped):
            reason = ("stopped", int(failure.signal))
        elif failure:
            reason = ("correctable" if isinstance(failure, correctable) else "defect", str(failure))
        reason = first_says(reason)
        if reason and failure is None:
            raise _of_first(*reason)


def _of_first(kind: str, what: Any) -> BaseException:
    if kind == "stopped":
        return Stopped(what)
    return InputError(what) if kind == "correctable" else ChildProcessError(f"the first process failed: {what}")


def all_came(place: str, seconds: float = 10.0) -> bool:
    """Whether all processes reach a place in the program in time.

    This is no collective operation, so it also works while other processes are inside a collective operation.

    Args:
        place: name of the place, which each process may use only once.
        seconds: seconds to wait for the other processes; with 0 this process only reports its own arrival.

    Example:
        >>> all_came("the end")
        True
    """
    if not (distributed.is_initialized() and _stores):
        return True
    end = time.monotonic() + seconds
    came = _stores[-1].add(place, 1)
    while came < world_size() and time.monotonic() < end:
        time.sleep(0.05)
        came = _stores[-1].add(place, 0)
    return bool(came >= world_size())


def largest(numbers: Sequence[int]) -> list[int]:
    """Return the element-wise maximum over the processes of the run; all processes must call it.

    The numbers stay on the CPU, so this does not wait for an accelerator.

    Args:
        numbers: the numbers of this process, equally many in each process.

    Example:
        >>> largest([3, 0])
        [3, 0]
    """
    if world_size() == 1:
        return list(numbers)
    together = torch.tensor(numbers)  # on the CPU: gloo's, so that no device is waited for
    distributed.all_reduce(together, distributed.ReduceOp.MAX)
    return [int(number) for number in together.tolist()]


def leave() -> None:
    """Leave the process group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def join_launched() -> None:
    """Join the process group if a launcher has started several processes."""
    if "RANK" not in os.environ:
        _take_over_from_slurm()
    join()


def join_for_good() -> None:
    """Call :func:`join_launched` once per program, and stay in the process group until the program ends."""
    if not distributed.is_initialized():
        join_launched()
        atexit.register(leave)


def _take_over_from_slurm() -> None:
    """Set torch's environment variables from those of SLURM, but keep the user's MASTER_ADDR and MASTER_PORT."""
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    found = os.environ
    nodes = found.get("SLURM_STEP_NODELIST", found.get("SLURM_NODELIST", found.get("SLURM_JOB_NODELIST", "127.0.0.1")))
    on_each_node = int(found["SLURM_NTASKS"]) // int(found.get("SLURM_NNODES", 1))
    port = 15000 + int(found.get("SLURM_JOB_ID", "0")[-4:])
    os.environ |= {
        "RANK": found["SLURM_PROCID"],
        "WORLD_SIZE": found["SLURM_NTASKS"],
        "LOCAL_RANK": found.get("SLURM_LOCALID", found["SLURM_PROCID"]),
        "LOCAL_WORLD_SIZE": str(on_each_node),
        "MASTER_ADDR": found.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes),
        "MASTER_PORT": found.get("MASTER_PORT") or str(port),
    }
