"""Which Weights & Biases run a folder's run is, and how much of its history is there."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from oponm.training.result import write_json

FILE = "wandb.json"


@dataclass
class RunId:
    """Kept in the run's folder, for a process that goes on with it.

    Attributes:
        folder: of the run.
        id: of the Weights & Biases run.
        rows: of its history, as far as they were logged.
    """

    folder: Path
    id: str
    rows: int = 0

    @classmethod
    def of(cls, folder: Path, wanted: str | None = None) -> RunId:
        """The one that a folder has, or a new one: the one wanted, that of a sweep's agent, or eight random digits.

        Args:
            folder: of the run.
            wanted: for a run that begins.

        Example:
            >>> import tempfile
            >>> folder = Path(tempfile.mkdtemp())
            >>> RunId.of(folder, "mine").count(3)
            >>> again = RunId.of(folder)
            >>> again.id, again.rows
            ('mine', 3)
        """
        try:
            kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(folder, str(kept["id"]), int(kept["rows"]))
        except (OSError, ValueError, KeyError, TypeError):
            of_agent = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
            return cls(folder, wanted or of_agent or secrets.token_hex(4))

    def count(self, rows: int) -> None:
        """Note that so many rows are logged.

        Args:
            rows: all of them.
        """
        self.rows = rows
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FILE, {"id": self.id, "rows": rows})
