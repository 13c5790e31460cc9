"""Start the processes of a run on this machine, through torch.distributed.run's agent."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from oponm.errors import InputError
from oponm.training.result import write_json
from oponm.training.signals import Stopped

PID = "pid"
_ERROR = "error.json"
_SHUTDOWN_SECONDS = 10  # that the others have when one process has died


def launch_processes(
    entry: Callable[..., Any] | str, *arguments: str, job: Path, devices: int, max_restarts: int = 0
) -> None:
    """Run one thing in several processes, and wait for them.

    If one dies, all end; ``max_restarts`` times they are started anew. They find what ``torchrun`` sets in the
    environment. A SIGUSR1 is passed on to the process that has written its number to ``job / PID``.

    Args:
        entry: a program; or a function at the top level of a module.
        *arguments: for it.
        job: a folder of the processes' own.
        devices: their number.
        max_restarts: how often they are started anew.

    Raises:
        InputError: what the processes could not use, see :func:`tell`.
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
        shutdown_timeout=_SHUTDOWN_SECONDS,
        logs_specs=DefaultLogsSpecs(str(job)),
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what it says is said below
    try:
        with _passing_on(signal.SIGUSR1, job / PID):
            elastic_launch(launch, entry)(*arguments)
    except SignalException as error:
        raise Stopped(int(error.sigval)) from error
    except ChildFailedError as error:
        _explain(job / _ERROR, error)


def tell(job: Path, message: str, signal: int | None = None) -> None:
    """Leave word of why a process ends, for :func:`launch_processes`.

    Args:
        job: the folder of the processes.
        message: of the error that is the user's to mend.
        signal: at which it ended, if it did.

    Example:
        >>> import tempfile
        >>> job = Path(tempfile.mkdtemp())
        >>> tell(job, "noise.delta must lie in [0, 1], got 2")
        >>> [file.name for file in job.iterdir()]
        ['error.json']
    """
    write_json(job / _ERROR, {"message": message, "signal": signal})


def _explain(file: Path, error: Any) -> None:
    """Raise what made the processes end, as far as the first of them could tell."""
    rank, failure = error.get_first_failure()
    if file.is_file():
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["signal"] is None:
            raise InputError(told["message"]) from error
        raise Stopped(told["signal"]) from error
    raise ChildProcessError(
        f"process {rank} of the run ended with code {failure.exitcode}; resume=RUN_DIR goes on from its last checkpoint"
    ) from error


@contextmanager
def _passing_on(number: int, file: Path) -> Iterator[None]:
    """Pass a signal on to the first process; it tells the others."""
    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers there
        yield
        return

    def handler(received: int, frame: FrameType | None) -> None:
        if file.is_file():
            os.kill(int(file.read_text()), received)

    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
