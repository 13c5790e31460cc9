"""The Weights & Biases run of a run's folder, and the rows of its history that are stored."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from oponm.run_files import write_json

FILE = "wandb.json"


@dataclass
class WandbRun:
    """The record of a Weights & Biases run in a run's folder.

    Attributes:
        id: id of the Weights & Biases run.
        rows: number of rows of its history that earlier processes have logged completely.
        unfinished: name, inside ``wandb``, of the folder of an offline process that did not finish it. An unknown part
            of its rows is on the disk.
    """

    id: str
    rows: int = 0
    unfinished: str | None = None

    @classmethod
    def read(cls, folder: Path, wanted: str | None = None) -> WandbRun:
        """Read a folder's record; a new run takes the wanted id, else that of a sweep's agent, else a new one.

        Args:
            folder: the run's folder.
            wanted: id of a run that begins.

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
        """Delete the unfinished folder of a process that was killed; the next process logs its rows again.

        Args:
            folder: the run's folder.
        """
        if self.unfinished:
            shutil.rmtree(folder / "wandb" / Path(self.unfinished).name, ignore_errors=True)
        self.unfinished = None
