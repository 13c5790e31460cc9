"""Lightning's Weights & Biases logger; it never stops training, and a resumed run has no duplicate rows."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import loggers
from pytorch_lightning.loggers.logger import DummyLogger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from oponm.errors import InputError
from oponm.logging.charts import Chart
from oponm.logging.figures import pixels
from oponm.logging.guard import never_stopping
from oponm.run_files import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FILE = "wandb.json"


@dataclass
class WandbRun:
    """The record of a Weights & Biases run that ``wandb.json`` in a run's folder holds.

    Attributes:
        id: id of the Weights & Biases run.
        rows: number of history rows that are known to be logged: those of online processes, and those of offline
            processes that finished.
        unfinished: name of the folder inside ``wandb`` of an offline process that did not finish; None if all finished.
            How many rows of this process are on the disk is unknown.
    """

    id: str
    rows: int = 0
    unfinished: str | None = None

    @classmethod
    def read(cls, folder: Path, wanted: str | None = None) -> WandbRun:
        """Read the record of a folder, or make one for a new run.

        The id of a new run is ``wanted``, else that of the agent of a Weights & Biases sweep, else a random one.

        Args:
            folder: the run's folder.
            wanted: id for a new run; None for the other two.

        Example:
            >>> import tempfile
            >>> folder = Path(tempfile.mkdtemp())
            >>> WandbRun("mine", rows=3).write(folder)
            >>> WandbRun.read(folder, "another")
            WandbRun(id='mine', rows=3, unfinished=None)
        """
        try:
            return cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            of_agent = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
            return cls(wanted or of_agent or secrets.token_hex(4))

    def write(self, folder: Path) -> None:
        """Write the record for a process that resumes the run.

        Args:
            folder: the run's folder; made if needed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, asdict(self))

    def drop_unfinished(self, folder: Path) -> None:
        """Delete the ``unfinished`` folder of a process that was killed; its rows are logged again.

        Args:
            folder: the run's folder.
        """
        if self.unfinished:
            shutil.rmtree(folder / "wandb" / Path(self.unfinished).name, ignore_errors=True)
        self.unfinished = None


class WandbLogger(loggers.WandbLogger):
    """Logs to Weights & Biases; if that fails, offline, for ``wandb sync``; if that fails too, not at all.

    The Weights & Biases run begins at the first logged row. Each call of :meth:`log_metrics` is one row of its history.
    When a run is resumed, :func:`~oponm.training.train` logs all rows again from the first one. This logger skips rows
    that exist already, so the history has neither gaps nor duplicates. For an online run the server gives the number
    of existing rows. For an offline run ``wandb.json`` in the run's folder does; it counts rows of processes that
    finished. A process that was killed leaves an unknown part of its rows in its offline folder, as Weights & Biases
    writes rows in blocks. The next process deletes this folder and logs its rows again. A row may be lost only if an
    online process is killed and the next process does not reach the server.

    Args:
        save_dir: the run's folder, which stores the run's id.
        project: name of the project.
        id: id of the run; None makes one. An id in ``wandb.json`` in the run's folder has precedence.
        offline: whether only files are written, for ``wandb sync``.
        init_timeout: seconds to wait for the server at the start.
        finish_timeout: seconds to wait for uploads at the end; the rest stays on disk for ``wandb sync``.
        **options: for Lightning's logger and ``wandb.init``: ``name``, ``entity``, ``group``, ``job_type``, ``tags``,
            ``notes``, ``prefix``, ...

    Raises:
        InputError: for an unknown option.

    Example:
        >>> WandbLogger("outputs/run", id="3f0c").version
        '3f0c'
    """

    def __init__(
        self,
        save_dir: str | Path,
        project: str = "oponm",
        id: str | None = None,
        offline: bool = False,
        init_timeout: float = 60,
        finish_timeout: float = 600,
        **options: Any,
    ) -> None:
        _check_names(options)
        self.folder = Path(save_dir)
        self.kept = WandbRun.read(self.folder, id)
        # The summary has the commit of the checkout; the address of its remote may contain a password.
        self.settings: dict[str, Any] = {"console": "off", "disable_git": True, "save_code": False}
        self.settings |= {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
        if offline:
            self._go_offline()
        # Lightning's `offline` would set an environment variable for all runs of the process.
        super().__init__(project=project, save_dir=save_dir, id=self.kept.id, settings=self.settings, **options)
        self.rows = self.known = self.last_step = 0
        self._begun = self._given_up = False

    def _go_offline(self) -> None:
        self.settings |= {"mode": "offline", "silent": True}

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of Weights & Biases, begun on first use; after an error an object that does nothing."""
        if not self._begun:
            self._begun = True
            self._begin()
        return DummyLogger().experiment if self._given_up else super().experiment

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn an error of the block into a warning; after it nothing is logged."""
        try:
            yield
        except Exception as error:
            if not self._given_up:
                with never_stopping("wandb"):
                    raise error
            self._given_up = True

    def _begin(self) -> None:
        if "mode" not in self.settings:
            later = f"it logs offline below {self.folder / 'wandb'}, for 'wandb sync'"
            with never_stopping("wandb could not begin a run on its server", later):
                self._open()
                return
            self._go_offline()
            with never_stopping("wandb"):
                import wandb

                wandb.teardown()  # its service reserves the id for the failed attempt
        with self._guarded():
            self._open()

    def _open(self) -> None:
        self.kept.write(self.folder)
        run = super().experiment
        self.kept.drop_unfinished(self.folder)
        if run.offline:
            self.known, self.kept.unfinished = self.kept.rows, Path(run.dir).parent.name
            if self.known:
                run.log({}, step=self.known, commit=False)  # sets the number of the next row
        else:
            self.known = run.starting_step  # the server's count has precedence
        self.kept.write(self.folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row, unless it exists already.

        Args:
            metrics: numbers, or objects of Weights & Biases, by name.
            step: step of training; None is the step of the previous row.
        """
        self.last_step = self.last_step if step is None else step
        number, self.rows = self.rows, self.rows + 1
        with self._guarded():
            run = self.experiment
            if number >= self.known and not self._given_up:
                super().log_metrics(metrics, self.last_step)
                if not run.offline:
                    self._keep_rows()

    def _keep_rows(self) -> None:
        self.kept.rows, self.kept.unfinished = max(self.kept.rows, self.known, self.rows), None
        self.kept.write(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log the config.

        Args:
            params: a dict of strings, numbers, lists and dicts.
        """
        with self._guarded():
            super().log_hyperparams(params)

    def show(
        self,
        figures: Mapping[str, Figure],
        tables: Mapping[str, Sequence[Sequence[Any]]],
        charts: Mapping[str, Chart] | None = None,
    ) -> None:
        """Log figures, tables and charts, each in a row.

        Args:
            figures: figures by name.
            tables: tables by name; the first row names the columns.
            charts: charts by name.
        """
        with self._guarded():
            for name, figure in figures.items():
                self.log_image(name, [pixels(figure)])
            for name, (head, *body) in tables.items():
                self.log_table(name, columns=list(head), data=[list(line) for line in body])
            for name, (kind, title, fields, (columns, *lines)) in (charts or {}).items():
                import wandb

                table = wandb.Table(columns=columns, data=lines)
                self.log_metrics({name: wandb.plot_table(kind, table, fields, {"title": title})})

    def summarize(self, facts: Mapping[str, Any]) -> None:
        """Put facts into the run's summary.

        Args:
            facts: a dict from name to a string, number or list.
        """
        with self._guarded():
            self.experiment.summary.update(dict(facts))

    def keep(self, checkpoint: Path, facts: Mapping[str, Any], alias: str) -> None:
        """Log a checkpoint as an artifact; the file is uploaded from where it is, without a copy.

        Args:
            checkpoint: path of the checkpoint.
            facts: the artifact's metadata, by name.
            alias: alias of the artifact in addition to ``latest``.
        """
        with self._guarded():
            import wandb

            artifact = wandb.Artifact(f"model-{self.version}", "model", metadata=dict(facts))
            artifact.add_file(str(checkpoint), policy="immutable")
            self.experiment.log_artifact(artifact, aliases=["latest", alias])

    def close(self, failed: bool = False) -> None:
        """Finish the run.

        Args:
            failed: mark the run as failed.
        """
        with self._guarded():
            if self._begun and not self._given_up:
                self.experiment.finish(exit_code=int(failed))
                self._keep_rows()
        self._begun = self._given_up = True


def _check_names(options: Mapping[str, Any]) -> None:
    """Refuse unknown options now; they would fail when the run begins, and nothing would be logged."""
    import wandb

    known = {*signature(loggers.WandbLogger).parameters, *signature(wandb.init).parameters} - {"kwargs", "settings"}
    if unknown := sorted(options.keys() - known):
        message = (
            f"has no {', '.join(unknown)}: choose among the arguments of Lightning's WandbLogger and of wandb.init"
        )
        raise InputError(message, "logger.wandb")
