"""Which Weights & Biases run a folder's run is, and which rows of its history are kept."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from oponm.training.result import write_json

FILE = "wandb.json"


@dataclass
class WandbRun:
    """What a run's folder says about its Weights & Biases run.

    Attributes:
        id: of the Weights & Biases run.
        rows: how many rows of its history earlier processes have logged for good.
        unfinished: name of the folder below ``wandb`` of an offline process that has not finished it. What of its rows
            has reached the disk, nobody knows.
    """

    id: str
    rows: int = 0
    unfinished: str | None = None

    @classmethod
    def read(cls, folder: Path, wanted: str | None = None) -> WandbRun:
        """Read what a folder says; a run that begins has the id wanted, that of a sweep's agent, or a new one.

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
        """Write it down for a process that resumes the run.

        Args:
            folder: the run's folder; made if need be.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, asdict(self))

    def drop_unfinished(self, folder: Path) -> None:
        """Delete the unfinished folder of a process that was killed: the next one logs its rows again.

        Args:
            folder: the run's folder.
        """
        if self.unfinished:
            shutil.rmtree(folder / "wandb" / Path(self.unfinished).name, ignore_errors=True)
        self.unfinished = None
