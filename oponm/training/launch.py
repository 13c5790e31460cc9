"""Starts the processes of a run on this machine through the agent of ``torch.distributed.run``."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from oponm.errors import BAD_INPUT, InputError
from oponm.launched import OWN_JOB, restarted
from oponm.output import unfailing_output
from oponm.parent import end_with_parent
from oponm.run_files import write_json
from oponm.signals import SIGNALED, AtOnce, Stopped, heeded
from oponm.training.distributed import join, leave
from oponm.training.quiet import first_alone_speaks, quiet

GRACE = 120  # seconds from a signal until the processes are killed, for their step, a checkpoint and their loggers
_CALL = "call.pickle"
_REASON = "reason-{}.json"
_TO_BE_WRITTEN = 2.0  # seconds that another process has to write the reason for its end
_TO_BE_ASKED = 1.0  # seconds that the agent has to collect the return value of a process
_PASSING = (SIGNALED + signal.SIGTERM, SIGNALED + signal.SIGINT)  # also end the others when one has died
_TORCHRUN = "start the script by torchrun --nproc-per-node={devices} script.py"


def run_in_processes(
    run: Callable[..., Any], arguments: Mapping[str, Any], devices: int, max_restarts: int = 0, log: Path | None = None
) -> None:
    """Call a function in each of several processes, and wait for them.

    Each process has the environment variables of ``torchrun``, imports the calling script, as ``multiprocessing`` does,
    and receives the arguments. If a process dies, all end and are restarted, up to ``max_restarts`` times. Signals are
    passed on to all processes. If a process fails for a reason that a restart cannot fix, such as bad input, it writes
    the reason to a file and exits with code 0. After any other exit code torch's agent would restart the processes.

    Args:
        run: a function at the top level of a module.
        arguments: the arguments of ``run``, by name.
        devices: number of processes.
        max_restarts: maximum number of restarts.
        log: the file that the first process logs to; None logs to no file.

    Raises:
        InputError: if the arguments cannot be sent, or with the error of a process that found bad input.
        Stopped: if the processes ended at a signal.
        ChildProcessError: if a process died.
    """
    torchrun = _TORCHRUN.format(devices=devices)
    callers = {frame.frame.f_globals["__name__"] for frame in inspect.stack()}
    if "__mp_main__" in callers:  # the script is being imported by such a process
        guard = 'call fit below if __name__ == "__main__":'
        raise InputError(
            f"is {devices}, which starts processes that import this script again: {guard}, or {torchrun}", "devices"
        )
    if isinstance(arguments.get("model"), nn.Module):
        raise InputError(
            f"cannot be trained in place by {devices} processes: give a function that makes the network, or {torchrun}",
            "model",
        )
    with tempfile.TemporaryDirectory(prefix=OWN_JOB) as scratch:
        job = Path(scratch)
        try:
            with (job / _CALL).open("wb") as file:
                pickle.dump((run, dict(arguments), log), file)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"is {devices}, which starts processes, but an argument cannot be pickled for them "
                f"({' '.join(str(error).split())}): define the argument at the top level of a module, or {torchrun}",
                "devices",
            ) from error
        _launch(job, devices, max_restarts)


def _launch(job: Path, devices: int, max_restarts: int) -> None:
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    grace: dict[str, Any] = {"shutdown_timeout": GRACE}
    if "shutdown_timeout" not in {each.name for each in fields(LaunchConfig)}:
        grace = {}  # torch 2.10 kills processes 30 seconds after a signal
    launch = LaunchConfig(
        *(1, 1, devices),
        run_id=job.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
        monitor_interval=0.2,
        signals_to_handle=",".join(number.name for number in heeded()),  # the agent passes these signals on and waits
        logs_specs=DefaultLogsSpecs(str(job)),
        **grace,
    )
    for name in list(logging.root.manager.loggerDict):  # each logger has its own level
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # their messages are repeated below
    try:
        with _keeping_handlers():
            elastic_launch(launch, _take_part)(str(job))
    except (SignalException, ChildFailedError) as error:
        explain(job, error)
    if read_reason(job):
        explain(job)


def _take_part(scratch: str) -> None:
    """Call the function as one of the processes; bad input is reported to the process that started them."""
    end_with_parent()
    job, this = Path(scratch), int(os.environ["RANK"])
    if restarted() and settled(job):
        return
    try:
        with AtOnce(), unfailing_output():
            with (job / _CALL).open("rb") as file:
                run, arguments, log = pickle.load(file)  # written by the process that started this one
            join()
            if this:
                first_alone_speaks()
            elif log:
                _log_to(log)
            with quiet():
                run(**arguments)
    except Stopped as stopped:
        write_reason(job, this, SIGNALED + stopped.signal, str(stopped), stopped.step)
        _end_soon()
    except InputError as error:
        write_reason(job, this, BAD_INPUT, error.message, key=error.key)
    except AttributeError as error:
        if "__main__" not in str(error):
            raise
        write_reason(job, this, BAD_INPUT, f"devices: {error}: put it into a module that can be imported")
    except Exception:
        if not another_ended(job):
            raise
    finally:
        leave()


def _end_soon() -> None:
    """End this process soon: after it has passed a signal on, the agent may never ask for the return value."""

    def end() -> None:
        for process in multiprocessing.active_children():  # which decode images, and would wait for seconds
            process.terminate()
        gc.collect()  # which frees their semaphores
        os._exit(0)

    timer = threading.Timer(_TO_BE_ASKED, end)
    timer.daemon = True
    timer.start()


def _log_to(file: Path) -> None:
    """Log as a run in one process does: everything to the file, warnings also to the terminal."""
    terminal, lines = logging.StreamHandler(), logging.FileHandler(file)
    terminal.setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO, handlers=[terminal, lines], format="%(asctime)s %(levelname)s %(message)s", force=True
    )


def explain(job: Path, error: Any = None) -> NoReturn:
    """Raise the error that explains why the processes ended.

    The reason is the one that a process has written, else the signal that the agent received, else a process that died.

    Args:
        job: the folder that the processes share.
        error: the error of torch's agent; None if it raised none.

    Raises:
        InputError: for bad input.
        Stopped: at a signal.
        ChildProcessError: otherwise.
    """
    reason = read_reason(job)
    if reason and reason["code"] == BAD_INPUT:
        raise InputError(reason["message"], reason["key"]) from error
    failures = getattr(error, "failures", None)  # of processes that died; the agent then ends the others by a signal
    if reason and not (failures and reason["code"] in _PASSING):
        raise Stopped(reason["code"] - SIGNALED, reason["step"]) from error
    if received := getattr(error, "sigval", None):
        raise Stopped(int(received)) from error
    how = "a process of the run ended without a result"
    if error:
        rank, failure = error.get_first_failure()
        how = f"process {rank} of the run ended with code {failure.exitcode}"
    raise ChildProcessError(f"{how}; resume=RUN_DIR resumes from its last checkpoint") from error


@contextmanager
def _keeping_handlers() -> Iterator[None]:
    """Restore the signal handlers that torch's agent replaces."""
    in_main = threading.current_thread() is threading.main_thread()  # the agent replaces handlers only there
    before = {number: signal.getsignal(number) for number in heeded() if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_reason(
    job: Path, rank: int, code: int, message: str, step: int | None = None, key: str | None = None
) -> None:
    """Write the reason why a process ends to a file, for the process that started it.

    Args:
        job: the folder that the processes share; nothing is written if it has been removed.
        rank: rank of the process.
        code: the exit code that the command ends with.
        message: the message for the user.
        step: step of the last checkpoint; None if there is none.
        key: key of the setting at fault; None if the message names it.
    """
    if job.is_dir():
        write_json(job / _REASON.format(rank), {"code": code, "message": message, "step": step, "key": key})


def read_reason(job: Path) -> dict[str, Any] | None:
    """Read the reason of the lowest rank that has written one; bad input comes before signals.

    Args:
        job: the folder that the processes share.

    Returns:
        The arguments of :func:`write_reason` by name, without ``job`` and ``rank``; None if no process wrote a reason.

    Example:
        >>> import tempfile
        >>> job = Path(tempfile.mkdtemp())
        >>> read_reason(job)
        >>> write_reason(job, 1, 143, "stopped by SIGTERM")
        >>> write_reason(job, 2, 2, "disk full")
        >>> read_reason(job)
        {'code': 2, 'message': 'disk full', 'step': None, 'key': None}
    """
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(job.glob(_REASON.format("*")))]
    return min(found, key=lambda reason: reason["code"] != BAD_INPUT, default=None)


def settled(job: Path) -> bool:
    """Whether a restarted process should exit at once, because the run ended for a reason that a restart cannot fix.

    SIGTERM and SIGINT are not taken as a reason of this kind, as the agent also sends them when another process died.
    Their reasons are then deleted.

    Args:
        job: the folder that the processes share.

    Example:
        >>> import tempfile
        >>> job = Path(tempfile.mkdtemp())
        >>> write_reason(job, 0, 143, "stopped by SIGTERM")
        >>> settled(job), read_reason(job)
        (False, None)
        >>> write_reason(job, 0, 138, "stopped by SIGUSR1")
        >>> settled(job)
        True
    """
    reason = read_reason(job)
    if reason is None:
        return False
    if reason["code"] not in _PASSING:
        return True
    for file in job.glob(_REASON.format("*")):
        file.unlink(missing_ok=True)
    return False


def another_ended(job: Path) -> bool:
    """Whether another process has written why it ends; then a connection error in this process is only a consequence.

    Args:
        job: the folder that the processes share.
    """
    end = time.monotonic() + _TO_BE_WRITTEN
    while read_reason(job) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
