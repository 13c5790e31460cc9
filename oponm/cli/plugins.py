"""The choices of ``hydra/launcher`` and ``hydra/sweeper`` that are oponm's own, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins


@dataclass
class Basic:
    """The jobs of a sweep one after the other."""

    _target_: str = "hydra_plugins.oponm.launchers.SerialLauncher"


@dataclass
class Joblib:
    """The jobs of a sweep side by side on this machine, each in a process of its own.

    Attributes:
        n_jobs: how many run at once; -1 is as many as there are cores.
    """

    _target_: str = "hydra_plugins.oponm.launchers.ProcessLauncher"
    n_jobs: int = -1


@dataclass
class SubmititLocal:
    """Each job of a sweep as submitit runs a job of a cluster, in processes of this machine: to try a sweep out.

    Attributes:
        timeout_min: the time of a job.
        tasks_per_node: one, which starts the processes of ``trainer.devices``.
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
    """The jobs of a sweep as an array of SLURM's; what is null is SLURM's own default.

    Attributes:
        max_num_timeout: how often a job whose time is over runs again, and resumes its run.
        signal_delay_s: from SLURM's signal to the end of a job's time.
        array_parallelism: jobs at once.
        setup: commands before the job's own.
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
    """A search by Optuna, which proposes the settings of each job.

    Attributes:
        n_trials: jobs that a study has at the end, those that failed and those in the storage included.
        n_jobs: jobs proposed at once, for launchers that run jobs side by side.
        direction: of ``optimized_metric``: ``maximize`` or ``minimize``.
        storage: a URL of a database that keeps the study, such as ``sqlite:///study.db``; null keeps none.
        study_name: of the study in the storage.
        seed: of the proposals.
        params: the settings that are searched, as intervals or lists.
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
    """A sweep of several products.

    Attributes:
        params: settings that each row is combined with.
        rows: each a line of overrides without spaces in them, such as ``method=open norm=aux,standard``.
    """

    _target_: str = "hydra_plugins.oponm.rows_sweeper.RowsSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


def store_plugins() -> None:
    """Make the choices known to Hydra, in place of others of the same names.

    Files of choices cannot do that: Hydra holds a file against the choice of its name that a plugin has stored.
    """
    Plugins.instance()  # finds the plugins, which store their choices
    launchers = {"basic": Basic, "joblib": Joblib, "submitit_local": SubmititLocal, "submitit_slurm": SubmititSlurm}
    for name, settings in launchers.items():
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=settings, provider="oponm")
    for name, settings in {"optuna": Optuna, "rows": Rows}.items():
        ConfigStore.instance().store(group="hydra/sweeper", name=name, node=settings, provider="oponm")
