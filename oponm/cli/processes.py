"""Start the processes of a run through torch.distributed.run's agent."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED
from oponm.errors import InputError

JOB, MEASURED, ERROR, PID = "job.json", "measured.json", "error.json", "pid"
SHUTDOWN_SECONDS = 10  # that the others have when one process has died


def run_in_processes(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train in ``trainer.devices`` processes of this machine.

    If one dies, all end; ``trainer.max_restarts`` times they are started anew and go on from the last checkpoint.

    Args:
        config: of the run.
        folder: of the run.
        overrides: that made the config.
        begun: the folder holds a run to go on with.

    Returns:
        What the first process measured.

    Raises:
        InputError: what the processes could not use.
        Stopped: if they ended at a signal, with a checkpoint.
        ChildProcessError: if one died.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from oponm.training.signals import Stopped

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
            shutdown_timeout=SHUTDOWN_SECONDS,
            logs_specs=DefaultLogsSpecs(scratch),
        )
        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what it says is said below
        try:
            with _passing_on(signal.SIGUSR1, job / PID):
                elastic_launch(launch, sys.executable)("-m", "oponm.cli.worker", scratch)
        except SignalException as error:
            raise Stopped(int(error.sigval)) from error
        except ChildFailedError as error:
            _explain(job / ERROR, error)
        return dict(json.loads((job / MEASURED).read_text(encoding="utf-8")))


def _explain(file: Path, error: Any) -> None:
    """Raise what made the processes end, as far as the first of them could tell."""
    from oponm.training.signals import Stopped

    rank, failure = error.get_first_failure()
    if file.is_file():
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["code"] == BAD_INPUT:
            raise InputError(told["message"]) from error
        raise Stopped(told["code"] - SIGNALLED) from error
    raise ChildProcessError(
        f"process {rank} of the run ended with code {failure.exitcode}; resume=RUN_DIR goes on from its last checkpoint"
    ) from error


@contextmanager
def _passing_on(number: int, file: Path) -> Iterator[None]:
    """Pass a signal on to the first process; it tells the others."""

    def handler(received: int, frame: FrameType | None) -> None:
        if file.is_file():
            os.kill(int(file.read_text()), received)

    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
