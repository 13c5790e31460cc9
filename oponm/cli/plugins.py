"""oponm's own choices of ``hydra/launcher`` and ``hydra/sweeper``, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins


@dataclass
class Basic:
    """Runs the jobs of a sweep one after the other, in this process."""

    _target_: str = "hydra_plugins.oponm.launchers.SerialLauncher"


@dataclass
class Joblib:
    """Runs the jobs of a sweep in parallel on this machine, each in its own process.

    Attributes:
        n_jobs: number of parallel jobs; -1 is the number of cores.
    """

    _target_: str = "hydra_plugins.oponm.launchers.ProcessLauncher"
    n_jobs: int = -1


@dataclass
class SubmititLocal:
    """Runs each job of a sweep through submitit in processes of this machine, to test a sweep before using a cluster.

    Attributes:
        timeout_min: time limit of a job, in minutes.
        tasks_per_node: keep it at 1: the one task of a job starts the ``trainer.devices`` processes itself.
    """

    _target_: str = "hydra_plugins.oponm.launchers.SubmititLauncher"
    _convert_: str = "all"
    cluster: str = "local"
    submitit_folder: str = "${hydra.sweep.dir}/.submitit/%j"
    timeout_min: int = 60
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    tasks_per_node: int = 1
    mem_gb: int | None = None
    nodes: int = 1
    name: str = "${hydra.job.name}"
    stderr_to_stdout: bool = False


@dataclass
class SubmititSlurm(SubmititLocal):
    """Runs the jobs of a sweep as a SLURM array; null takes SLURM's default.

    Attributes:
        max_num_timeout: maximum number of times that a job which reaches its time limit is requeued; the job then
            resumes its run.
        signal_delay_s: seconds from SLURM's signal to the end of a job's time.
        array_parallelism: maximum number of parallel jobs.
        setup: shell commands that run before the job's own command.
        additional_parameters: further options of sbatch, such as ``{mail-user: me@example.org}``.
    """

    cluster: str = "slurm"
    max_num_timeout: int = 0
    signal_delay_s: int = 120
    array_parallelism: int = 256
    partition: str | None = None
    qos: str | None = None
    comment: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    cpus_per_gpu: int | None = None
    gpus_per_task: int | None = None
    mem_per_gpu: str | None = None
    mem_per_cpu: str | None = None
    account: str | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class Optuna:
    """Searches with Optuna, which proposes the settings of each job.

    Attributes:
        n_trials: total number of jobs of the study, counting failed ones and those that the storage already has.
        n_jobs: number of jobs proposed at once, for launchers that run jobs in parallel.
        direction: direction of ``optimized_metric``: ``maximize`` or ``minimize``.
        storage: a URL of a database that stores the study, such as ``sqlite:///study.db``; null stores none.
        study_name: name of the study in the storage.
        seed: seed of the proposals.
        params: dict from key to the values to search, as intervals or lists, such as
            ``{optimizer.lr: interval(0.01, 0.1)}``.
    """

    _target_: str = "hydra_plugins.oponm.optuna_sweeper.OptunaSweeper"
    n_trials: int = 20
    n_jobs: int = 1
    direction: str = "maximize"
    storage: str | None = None
    study_name: str = "oponm"
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Rows:
    """Runs several grids (Cartesian products) in one sweep, one grid per row.

    Attributes:
        params: dict from key to values, as in ``hydra.sweeper.params``; each row is combined with all of them.
        rows: strings of overrides separated by spaces, such as ``method=open norm=aux,standard``; an override itself
            contains no space.
    """

    _target_: str = "hydra_plugins.oponm.rows_sweeper.RowsSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


def store_plugins() -> None:
    """Register the launchers and sweepers of this module with Hydra, in place of the plugins' choices of those names.

    A config file could not replace a plugin's choice: Hydra would check the file against the keys of that choice.
    """
    Plugins.instance()  # loads the plugins, which store their choices
    launchers = {"basic": Basic, "joblib": Joblib, "submitit_local": SubmititLocal, "submitit_slurm": SubmititSlurm}
    for name, settings in launchers.items():
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=settings, provider="oponm")
    for name, settings in {"optuna": Optuna, "rows": Rows}.items():
        ConfigStore.instance().store(group="hydra/sweeper", name=name, node=settings, provider="oponm")
