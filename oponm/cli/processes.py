"""Start the processes of a run through torch.distributed.run's agent."""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED
from oponm.cli.reasons import told
from oponm.errors import InputError
from oponm.signals import SIGNALS, Stopped

JOB, MEASURED = "job.json", "measured.json"
# At Ctrl-C while it imports, a worker ends without a traceback, as at the other signals.
WORKER = """import runpy, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
runpy.run_module("oponm.cli.worker", run_name="__main__")
"""
GRACE = 120  # seconds that the processes have after a signal, for their step, a checkpoint and their loggers


def run_in_processes(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train in ``trainer.devices`` processes of this machine.

    If one dies, all end; ``trainer.max_restarts`` times they are started anew and go on from the last checkpoint. A
    signal, or what the user can mend, ends the run at once.

    Args:
        config: of the run.
        folder: of the run.
        overrides: that made the config.
        begun: the folder holds a run to go on with.

    Returns:
        What the first process measured.

    Raises:
        InputError: what the processes could not use.
        Stopped: if they ended at a signal.
        ChildProcessError: if one died.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="oponm-") as scratch:
        job = Path(scratch)
        content = {"config": OmegaConf.to_yaml(config), "folder": str(folder), "overrides": overrides, "begun": begun}
        (job / JOB).write_text(json.dumps(content), encoding="utf-8")
        launch = LaunchConfig(
            *(1, 1, config.trainer.devices),
            run_id=job.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=config.trainer.max_restarts,
            monitor_interval=0.2,
            signals_to_handle=",".join(number.name for number in SIGNALS),  # the agent passes them on, and waits
            shutdown_timeout=GRACE,
            logs_specs=DefaultLogsSpecs(scratch),
        )
        for name in list(logging.root.manager.loggerDict):  # each has a level of its own
            if name.startswith("torch.distributed.elastic"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what they say is said below
        try:
            with _keeping_handlers():
                elastic_launch(launch, sys.executable)("-c", WORKER, scratch)
        except SignalException as error:
            _explain(job, error)
        except ChildFailedError as error:
            _explain(job, error)
        if not (job / MEASURED).is_file() or told(job):
            _explain(job, None)
        return dict(json.loads((job / MEASURED).read_text(encoding="utf-8")))


def _explain(job: Path, error: Any) -> None:
    """Raise what made the processes end: what they told, else the signal, else that one of them died."""
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
    before = {number: signal.getsignal(number) for number in SIGNALS if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
