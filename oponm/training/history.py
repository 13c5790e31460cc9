"""The logged metrics of a run, kept so that a resumed run can log them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger


class History(Logger):
    """A logger that keeps the logged metrics in memory.

    Example:
        >>> history = History()
        >>> history.log_metrics({"loss": 0.5}, step=3)
        >>> history.rows
        [(3, {'loss': 0.5})]
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        """The name of the logger for Lightning."""
        return "history"

    @property
    def version(self) -> str:
        """The version of the logger for Lightning."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep one row."""
        self.rows.append((int(step or 0), dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Ignore hyperparameters; they are no part of the history."""

    def last(self, prefix: str) -> dict[str, float]:
        """Return the last logged value of each metric whose name starts with a prefix.

        Args:
            prefix: beginning of the names, such as ``"val/"``.

        Example:
            >>> history = History()
            >>> history.log_metrics({"val/accuracy": 0.5, "lr": 0.1}, step=3)
            >>> history.last("val/")
            {'val/accuracy': 0.5}
        """
        found: dict[str, float] = {}
        for _, metrics in self.rows:
            found |= {name: float(value) for name, value in metrics.items() if name.startswith(prefix)}
        return found

    def replay(self, rows: Sequence[tuple[int, Mapping[str, float]]], loggers: Sequence[Logger]) -> None:
        """Store rows that earlier processes of the run have logged, and log them again to the given loggers.

        Args:
            rows: pairs of a step and its metrics, by name.
            loggers: the run's loggers in this process.
        """
        for step, metrics in rows:
            for logger in (self, *loggers):
                logger.log_metrics(dict(metrics), step)
