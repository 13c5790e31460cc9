"""joblib's launcher with a process of its own for each job: one that is killed takes no other with it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, setup_globals

GRACE = 20.0  # seconds that jobs have to finish a step and write a checkpoint, when the command is interrupted
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def launch_process_each(
    launcher: Any, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn | BaseException]:
    """Run jobs side by side, ``hydra.launcher.n_jobs`` at once; the launcher's other settings have no meaning here.

    Where ``joblib.Parallel`` has one pool, which breaks when a worker is killed and takes the running jobs with it,
    each job has a pool of one. The cores are shared out among the jobs, as there, unless ``OMP_NUM_THREADS`` is set.

    Args:
        launcher: joblib's, set up.
        job_overrides: of each job.
        first: the number of the first.

    Returns:
        What each job returned, or the error that its process ended with.
    """
    from hydra_plugins.hydra_joblib_launcher._core import execute_job
    from joblib import cpu_count, effective_n_jobs
    from joblib.externals.loky import ProcessPoolExecutor

    setup_globals()
    config = launcher.config
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    at_once = effective_n_jobs(launcher.joblib.get("n_jobs", -1))
    threads = str(max(1, cpu_count() // at_once))
    environment = {name: os.environ.get(name, threads) for name in THREADS}
    shared = (launcher.hydra_context, config, launcher.task_function, Singleton.get_state())
    waiting = deque(range(len(job_overrides)))
    ended: dict[int, JobReturn | BaseException] = {}
    running: dict[Future[JobReturn], tuple[int, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                place = waiting.popleft()
                pool = ProcessPoolExecutor(max_workers=1, env=environment)
                running[pool.submit(execute_job, first + place, job_overrides[place], *shared)] = (place, pool)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, pool = running.pop(future)
                ended[place] = future.exception() or future.result()
                pool.shutdown()
    finally:
        if running:
            wait(running, timeout=GRACE)
        for _, pool in running.values():
            pool.shutdown(kill_workers=True)
    return [ended[place] for place in range(len(job_overrides))]
