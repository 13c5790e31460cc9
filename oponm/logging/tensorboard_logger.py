"""Writes TensorBoard's event files, with figures and tables; a resumed run leaves no duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import loggers

from oponm.errors import InputError
from oponm.logging.charts import Chart
from oponm.logging.figures import pixels
from oponm.markdown import markdown_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Lightning's logger, which writes to ``save_dir/tensorboard``.

    When a run is resumed, :func:`~oponm.training.train` logs all rows of the run again from the first one. This logger
    makes TensorBoard discard the rows that earlier processes wrote (``purge_step=0``).

    Args:
        save_dir: the run's folder.

    Raises:
        InputError: if TensorBoard is not installed.
    """

    def __init__(self, save_dir: str | Path) -> None:
        try:
            # The purge discards rows of earlier processes; it must be the first record that this one writes.
            super().__init__(str(save_dir), name="", version="tensorboard", default_hp_metric=False, purge_step=0)
        except ModuleNotFoundError as error:
            raise InputError("needs TensorBoard: pip install 'oponm[tensorboard]'", "logger") from error
        self.last_step = 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one row.

        Args:
            metrics: a dict from name to number.
            step: step of training; None is the step of the previous row.
        """
        self.last_step = self.last_step if step is None else step
        super().log_metrics(dict(metrics), self.last_step)

    def show(
        self,
        figures: Mapping[str, Figure],
        tables: Mapping[str, Sequence[Sequence[Any]]],
        charts: Mapping[str, Chart] | None = None,
    ) -> None:
        """Log figures as images, and tables as text.

        Args:
            figures: figures by name.
            tables: tables by name; the first row names the columns.
            charts: ignored, as TensorBoard draws no charts; the figures show the same.
        """
        for name, figure in figures.items():
            self.experiment.add_image(name, pixels(figure), self.last_step, dataformats="HWC")
        for name, lines in tables.items():
            self.experiment.add_text(name, markdown_rows(lines, len(lines[0])), self.last_step)

    def summarize(self, facts: Mapping[str, Any]) -> None:
        """Log facts as text.

        Args:
            facts: a dict from name to a string or number.
        """
        self.experiment.add_text("facts", markdown_rows([("fact", "value"), *facts.items()], 2), self.last_step)
