"""A Weights & Biases run as a Lightning logger that never stops training, whatever becomes of server or connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import Logger

from oponm.dashboard.charts import Chart
from oponm.dashboard.guard import never_stopping
from oponm.dashboard.pixels import pixels
from oponm.dashboard.run_id import keep_run_id, kept_run_id
from oponm.dashboard.wandb_files import logged_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class WandbLogger(Logger):
    """Logs to Weights & Biases; where that fails, offline, for ``wandb sync``; where that fails too, nowhere.

    The run begins with the first thing that is logged. Each call is one row of its history, numbered from 0. A process
    that goes on with a run logs its rows from the first on, as :func:`~oponm.training.train` does; those that are there
    already are left out, so the history has neither gap nor duplicate.

    Args:
        save_dir: folder of the run; the run's id is kept in it.
        project: where the run belongs.
        entity: the account or team; None is the account's default.
        name: shown name; None leaves it to Weights & Biases.
        group: what the run is part of.
        job_type: what kind of run it is.
        tags: labels.
        notes: a longer text.
        id: of the run; None makes one. A folder's run keeps its own.
        offline: write files only.
        init_timeout: seconds to wait for the server at the start.
        finish_timeout: seconds to wait for uploads at the end; what is left then stays on disk for ``wandb sync``.

    Example:
        >>> WandbLogger("outputs/run", id="3f0c").version
        '3f0c'
    """

    def __init__(
        self,
        save_dir: str | Path,
        project: str = "oponm",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        id: str | None = None,
        offline: bool = False,
        init_timeout: float = 60,
        finish_timeout: float = 600,
    ) -> None:
        super().__init__()
        self.folder, self.offline, self.wanted = Path(save_dir), offline, id
        self.timeouts = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}
        self.about: dict[str, Any] = {"project": project, "entity": entity, "name": name, "notes": notes}
        self.about |= {"group": group, "job_type": job_type, "tags": list(tags or [])}
        self.rows = self.known = self.last_step = 0
        self._id: str | None = None
        self._run: Any = None
        self._given_up = False

    @property
    def name(self) -> str:
        """The project, to Lightning."""
        return str(self.about["project"])

    @property
    def version(self) -> str:
        """The run's id."""
        if self._id is None:
            self._id = kept_run_id(self.folder, self.wanted)
        return self._id

    @contextmanager
    def _in_run(self) -> Iterator[Any]:
        """The run, begun on first use, or None; an error costs a warning, and nothing more is logged after it."""
        if self._run is None and not self._given_up:
            self._begin()
        try:
            yield None if self._given_up else self._run
        except Exception as error:
            self._given_up = True
            with never_stopping("wandb"):
                raise error

    def _begin(self) -> None:
        if not self.offline:
            later = f"it logs offline below {self.folder / 'wandb'}, for 'wandb sync'"
            with never_stopping("wandb could not begin a run on its server", later):
                self._run = self._open(None)
                return
        with never_stopping("wandb"):
            if not self.offline:
                import wandb

                wandb.teardown()  # its service holds the id for the attempt that failed
            self._run = self._open("offline")
            return
        self._given_up = True

    def _open(self, mode: str | None) -> Any:
        import wandb

        keep_run_id(self.folder, self.version)
        on_disk = logged_rows(self.folder, self.version)
        # The commit of the checkout is in the summary; the address of its remote may hold a password.
        quiet = {"console": "off", "disable_git": True, "save_code": False, "silent": mode == "offline"}
        settings = wandb.Settings(**self.timeouts, **quiet)
        options: dict[str, Any] = {
            "id": self.version,
            "dir": str(self.folder),
            "resume": "allow",
            "reinit": "finish_previous",
        }
        options["mode"] = mode
        run = wandb.init(**self.about, **options, settings=settings)
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        self.known = on_disk if run.offline else run.step  # a server knows best what it has
        return run

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row, unless it is there already.

        Args:
            metrics: by name: numbers, or what Weights & Biases shows.
            step: of training; None is that of the row before.
        """
        self.last_step = self.last_step if step is None else step
        number, self.rows = self.rows, self.rows + 1
        with self._in_run() as run:
            if run is not None and number >= self.known:
                run.log({**metrics, "trainer/global_step": self.last_step}, step=number, commit=True)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the config.

        Args:
            params: plain values by name, in any depth.
            *args: of other loggers.
            **kwargs: likewise.
        """
        with self._in_run() as run:
            if run is not None:
                run.config.update(dict(params), allow_val_change=True)

    def show(
        self,
        figures: Mapping[str, Figure],
        tables: Mapping[str, Sequence[Sequence[Any]]],
        charts: Mapping[str, Chart] | None = None,
    ) -> None:
        """Log figures, tables and charts in one row.

        Args:
            figures: by name.
            tables: by name; the first line names the columns.
            charts: by name.
        """
        row = {}
        with never_stopping("wandb"):
            import wandb

            row = {name: wandb.Image(pixels(figure)) for name, figure in figures.items()}
            row |= {name: wandb.Table(columns=list(head), data=body) for name, (head, *body) in tables.items()}
            for name, (kind, title, fields, (head, *body)) in (charts or {}).items():
                table = wandb.Table(columns=list(head), data=body)
                row[name] = wandb.plot_table(kind, table, fields, {"title": title})
        self.log_metrics(row)

    def summarise(self, facts: Mapping[str, Any]) -> None:
        """Put facts into the run's summary.

        Args:
            facts: plain values by name.
        """
        with self._in_run() as run:
            if run is not None:
                run.summary.update(dict(facts))

    def keep(self, checkpoint: Path, facts: Mapping[str, Any], alias: str) -> None:
        """Log a checkpoint as an artifact; its file is read where it lies.

        Args:
            checkpoint: the file.
            facts: the artifact's metadata.
            alias: beside ``latest``.
        """
        with self._in_run() as run:
            if run is not None:
                import wandb

                artifact = wandb.Artifact(f"model-{self.version}", "model", metadata=dict(facts))
                artifact.add_file(str(checkpoint), policy="immutable")
                run.log_artifact(artifact, aliases=["latest", alias])

    def close(self, failed: bool = False) -> None:
        """Finish the run.

        Args:
            failed: mark it so.
        """
        run, self._run, self._given_up = self._run, None, True
        with never_stopping("wandb"):
            if run is not None:
                run.finish(exit_code=int(failed))
