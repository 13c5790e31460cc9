"""Launchers: each job of a sweep runs to its end, whatever happens to the others.

Hydra's slots do not handle a job whose process was killed: joblib's launcher has one pool of processes, which breaks
when one is killed; submitit's raises the first error of a job; both leave the other jobs without results. Nor does a
Hydra callback see the jobs that a sweep has not begun. The choices of ``hydra/launcher`` are therefore these launchers,
with the names and settings that users know.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import time
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, env_override, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from oponm.cli.outcomes import LOST, Outcome, Outcomes
from oponm.cli.run_names import fixed_keys, run_name
from oponm.cli.sweep_job import Job, how_it_ended
from oponm.errors import InputError
from oponm.parent import GRACE, end_with_parent
from oponm.signals import Stopped

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SHARED = (  # settings that all clusters of submitit have
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name"),
    "stderr_to_stdout",
)


class SweepLauncher(Launcher):
    """Composes the jobs, names their folders, and collects their results.

    The names are set as ``hydra.job.id``, which ``hydra.sweep.subdir`` uses.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the objects that Hydra passes to its launchers."""
        self.context, self.task, self.config = hydra_context, task_function, config
        self.names = Counter[str]()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs.

        Args:
            job_overrides: overrides of each job.
            initial_job_idx: number of the first job.

        Returns:
            The result of each job: NaN if it failed or its process was killed.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        sweep = Path(self.config.hydra.sweep.dir).absolute()
        sweep.mkdir(parents=True, exist_ok=True)
        outcomes, fixed = Outcomes.of(sweep), fixed_keys(self.config)
        jobs = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            name = self._name(overrides, fixed)
            outcomes.write(Outcome(number, name, list(filter_overrides(overrides))))
            jobs.append(partial(self._compose, number, list(overrides), name, outcomes))
        ended = self.run(jobs)
        return [_gathered(number, one, outcomes) for number, one in enumerate(ended, initial_job_idx)]

    @abstractmethod
    def run(self, jobs: Sequence[Callable[[], Job]]) -> Sequence[JobReturn | str]:
        """Run the jobs.

        Args:
            jobs: functions that compose a job when called.

        Returns:
            The result of each job, or the reason why it is lost.
        """

    def _name(self, overrides: Sequence[str], fixed: set[str]) -> str:
        """The name of a job; a repeated one gets a new name, as the first has that folder."""
        name = run_name(overrides, fixed, self.config.get("seed"))
        self.names[name.lower()] += 1  # some file systems ignore upper and lower case
        again = self.names[name.lower()]
        return name if again == 1 else run_name([*overrides, f"repeat={again}"], fixed, self.config.get("seed"))

    def _compose(self, number: int, overrides: list[str], name: str, outcomes: Outcomes) -> Job:
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = name, number
        return Job(number, config, self.context, self.task, outcomes)


class SerialLauncher(SweepLauncher):
    """Runs one job after the other, in this process."""

    def run(self, jobs: Sequence[Callable[[], Job]]) -> Sequence[JobReturn | str]:
        """Run the jobs; a signal ends all of them."""
        ended = []
        for compose in jobs:
            ended.append(compose()())
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return ended


class ProcessLauncher(SweepLauncher):
    """Runs jobs side by side, each in its own process: a killed one does not affect the others.

    The cores are divided among the jobs, unless ``OMP_NUM_THREADS`` or a similar variable is set.

    Args:
        n_jobs: number of jobs at once; -1 is the number of cores.
    """

    def __init__(self, n_jobs: int = -1) -> None:
        self.n_jobs = n_jobs

    def run(self, jobs: Sequence[Callable[[], Job]]) -> Sequence[JobReturn | str]:
        """Run the jobs; if this process is interrupted, they have some seconds to write their checkpoints."""
        from joblib import cpu_count, effective_n_jobs

        at_once = effective_n_jobs(self.n_jobs)
        threads = str(max(1, cpu_count() // at_once))
        waiting = deque(enumerate(jobs))
        running: dict[int, tuple[int, Any, Connection]] = {}  # by the sentinel that becomes ready when a process ends
        ended: dict[int, JobReturn | str] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    place, compose = waiting.popleft()
                    with env_override({name: os.environ.get(name, threads) for name in THREADS}):
                        process, answer = _start(compose())
                    running[process.sentinel] = (place, process, answer)
                for sentinel in wait(list(running)):
                    place, process, answer = running.pop(sentinel)  # type: ignore[arg-type]
                    process.join()
                    try:
                        ended[place] = _returned(answer.recv())
                    except EOFError:
                        ended[place] = how_it_ended(process.exitcode)
        except Stopped:
            for _, process, _ in running.values():
                process.terminate()
            raise
        finally:
            until = time.monotonic() + GRACE
            for _, process, _ in running.values():
                process.join(max(0.0, until - time.monotonic()))
                process.kill()
        return [ended[place] for place in range(len(jobs))]


class SubmititLauncher(SweepLauncher):
    """Runs each job of the sweep as a job of a cluster, by submitit.

    Args:
        cluster: ``"slurm"``, or ``"local"`` for processes of this machine.
        submitit_folder: folder of submitit's files.
        max_num_timeout: how often SLURM runs a job again that reached its time limit.
        parameters: parameters of submitit's executor for the cluster; SLURM's without the prefix ``slurm_``.
    """

    def __init__(self, cluster: str, submitit_folder: str, max_num_timeout: int = 0, **parameters: Any) -> None:
        self.cluster, self.folder = cluster, submitit_folder
        self.limits = {"slurm_max_num_timeout": max_num_timeout} if cluster == "slurm" else {}
        self.parameters = {name if name in SHARED else f"{cluster}_{name}": value for name, value in parameters.items()}

    def run(self, jobs: Sequence[Callable[[], Job]]) -> Sequence[JobReturn | str]:
        """Submit the jobs as one array, and wait for them all."""
        try:
            from submitit import AutoExecutor
        except ImportError as error:
            raise InputError("needs submitit: pip install 'oponm[launchers]'", "hydra/launcher") from error
        composed = [compose() for compose in jobs]
        try:
            executor = AutoExecutor(folder=self.folder, cluster=self.cluster, **self.limits)
            executor.update_parameters(**self.parameters)
            with executor.batch():
                submitted = [executor.submit(job) for job in composed]
        except (NameError, AssertionError, RuntimeError) as error:  # raised by submitit for settings and for sbatch
            raise InputError(f"cannot be used: {' '.join(str(error).split())}", "hydra.launcher") from error
        return [_result(job) for job in submitted]


def _start(job: Job) -> tuple[Any, Connection]:
    """Start a process for a job; the connection receives the job's result."""
    context = multiprocessing.get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(job, sender))
    process.start()
    sender.close()
    return process, answer


def _run(job: Job, sender: Connection) -> None:
    end_with_parent()
    sender.send(job().return_value)
    sys.stdout.flush()


def _returned(value: Any) -> JobReturn:
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = value
    return returned


def _result(job: Any) -> JobReturn | str:
    from submitit.core.utils import UncompletedJobError

    try:
        result: JobReturn = job.results()[0]
        return result
    except UncompletedJobError:
        return LOST
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _gathered(number: int, ended: JobReturn | str, outcomes: Outcomes) -> JobReturn:
    if isinstance(ended, JobReturn):
        return ended
    outcomes.lose(number, ended)
    return _returned(math.nan)
