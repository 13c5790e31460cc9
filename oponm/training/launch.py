"""Start the processes of a run on this machine, through torch.distributed.run's agent."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from oponm.errors import BAD_INPUT, InputError
from oponm.signals import SIGNALLED, Stopped, heeded
from oponm.training.reasons import told

GRACE = 120  # seconds that the processes have after a signal, for their step, a checkpoint and their loggers


def launch_processes(
    entry: Callable[..., Any] | str, *arguments: str, job: Path, devices: int, max_restarts: int = 0
) -> None:
    """Run one thing in several processes, and wait for them.

    If one dies, all end; ``max_restarts`` times they are started anew. They find what ``torchrun`` sets in the
    environment. Signals are passed on to all of them. One that ends for a reason that stays, such as bad input, tells
    it (:mod:`oponm.training.reasons`) and ends as if all were well, as another code has them started anew.

    Args:
        entry: a program; or a function at the top level of a module.
        *arguments: for it.
        job: a folder of the processes' own.
        devices: their number.
        max_restarts: how often they are started anew.

    Raises:
        InputError: what the processes could not use.
        Stopped: if they ended at a signal.
        ChildProcessError: if one died.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    launch = LaunchConfig(
        *(1, 1, devices),
        run_id=job.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
        monitor_interval=0.2,
        signals_to_handle=",".join(number.name for number in heeded()),  # the agent passes them on, and waits
        shutdown_timeout=GRACE,
        logs_specs=DefaultLogsSpecs(str(job)),
    )
    for name in list(logging.root.manager.loggerDict):  # each has a level of its own
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what they say is said below
    try:
        with _keeping_handlers():
            elastic_launch(launch, entry)(*arguments)
    except (SignalException, ChildFailedError) as error:
        explain(job, error)
    if told(job):
        explain(job)


def explain(job: Path, error: Any = None) -> NoReturn:
    """Raise what made the processes end: what they told, else the signal, else that one of them died.

    Args:
        job: their folder.
        error: of torch's agent, if it raised one.

    Raises:
        InputError: what they could not use.
        Stopped: the signal at which they ended.
        ChildProcessError: if there is no such reason.
    """
    reason = told(job)
    if reason and reason["code"] == BAD_INPUT:
        raise InputError(reason["message"]) from error
    if reason:
        raise Stopped(reason["code"] - SIGNALLED, reason["step"]) from error
    if received := getattr(error, "sigval", None):
        raise Stopped(int(received)) from error
    how = "a process of the run ended without a result"
    if error:
        rank, failure = error.get_first_failure()
        how = f"process {rank} of the run ended with code {failure.exitcode}"
    raise ChildProcessError(f"{how}; resume=RUN_DIR goes on from its last checkpoint") from error


@contextmanager
def _keeping_handlers() -> Iterator[None]:
    """Put the handlers of signals back that torch's agent replaces."""
    in_main = threading.current_thread() is threading.main_thread()  # elsewhere the agent replaces none
    before = {number: signal.getsignal(number) for number in heeded() if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
