"""Start the processes of a run through torch.distributed.run's agent, and be one of them."""

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

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input
from oponm.errors import InputError

JOB, MEASURED, ERROR, PID = "job.json", "measured.json", "error.json", "pid"
SHUTDOWN_SECONDS = 10  # that the others have when one process has died


def launched_elsewhere() -> bool:
    """Whether ``torchrun`` or ``srun`` has started this process as one of several."""
    if "RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", 1)) > 1
    return int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ


def lead(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train as the first of the processes that were launched elsewhere; arguments are those of a job.

    Raises:
        InputError: if their number is not that of the config.
    """
    from oponm.cli.job import run_job
    from oponm.training.processes import leave, world_size

    _join_launched(config.trainer.accelerator)
    try:
        wanted = config.trainer.devices * config.trainer.num_nodes
        problem = ""
        if wanted != world_size():
            problem = f"times num_nodes is {wanted}, and {world_size()} processes were launched: make them equal"
        _exchange((OmegaConf.to_container(config, resolve=True), str(folder), overrides, begun, problem))
        if problem:
            raise InputError(problem, "trainer.devices")
        return run_job(config, folder, overrides, begun)
    finally:
        leave()


def follow() -> None:
    """Train as a later one of the processes that were launched elsewhere; the first one says what."""
    from oponm.cli.quiet import quiet_libraries
    from oponm.training.processes import leave
    from oponm.training.signals import Stopped

    quiet_libraries()
    _join_launched("auto")
    try:
        from oponm.cli.job import run_job

        config, folder, overrides, begun, problem = _exchange(None)
        if problem:
            sys.exit(BAD_INPUT)
        run_job(OmegaConf.create(config), Path(folder), overrides, begun)
    except Stopped as stopped:
        sys.exit(SIGNALLED + stopped.signal)
    except Exception as error:
        if not is_bad_input(error):
            raise
        sys.exit(BAD_INPUT)  # the first process says why
    finally:
        leave()


def _exchange(said: Any) -> Any:
    """What the first process says, in all of them."""
    from torch.distributed import broadcast_object_list

    box = [said]
    broadcast_object_list(box, src=0)
    return box[0]


def _join_launched(accelerator: str) -> None:
    if "RANK" not in os.environ:
        _take_over_from_slurm()
    from oponm.training.processes import join

    join(accelerator)


def _take_over_from_slurm() -> None:
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(int(os.environ["SLURM_NTASKS"]) // int(os.environ.get("SLURM_NNODES", 1))),
        "MASTER_ADDR": slurm.main_address,
        "MASTER_PORT": str(slurm.main_port),
    }


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
    from torch.distributed.elastic.multiprocessing.api import SignalException
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


def be_worker(job: Path) -> int:
    """Train as one of the processes of a run.

    Args:
        job: the folder that :func:`run_in_processes` made.

    Returns:
        The exit code.
    """
    from oponm.cli.quiet import quiet_libraries
    from oponm.training.processes import join, leave, rank
    from oponm.training.result import write_json
    from oponm.training.signals import Stopped

    quiet_libraries()
    content = json.loads((job / JOB).read_text(encoding="utf-8"))
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    config: Any = OmegaConf.create(content["config"])
    join(config.trainer.accelerator)
    if rank() == 0:
        (job / PID).write_text(str(os.getpid()))
    try:
        from oponm.cli.job import run_job

        begun = content["begun"] or restarted
        measured = run_job(config, Path(content["folder"]), content["overrides"], begun)
        if rank() == 0:
            write_json(job / MEASURED, measured)
    except Stopped as stopped:
        return _tell(job, SIGNALLED + stopped.signal, str(stopped))
    except Exception as error:
        if not is_bad_input(error):
            raise
        return _tell(job, BAD_INPUT, str(error))
    finally:
        leave()
    return 0


def _tell(job: Path, code: int, message: str) -> int:
    from oponm.training.result import write_json

    write_json(job / ERROR, {"code": code, "message": message})
    return code
