"""Which Weights & Biases run a folder's run is."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from oponm.training.result import write_json

FILE = "wandb.json"


def kept_run_id(folder: Path, wanted: str | None = None) -> str:
    """The id that a folder has; for a run that begins the one wanted, that of a sweep's agent, or a new one.

    Args:
        folder: of the run.
        wanted: for a run that begins.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> keep_run_id(folder, "mine")
        >>> kept_run_id(folder, "another")
        'mine'
    """
    try:
        return str(json.loads((folder / FILE).read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        of_agent = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
        return wanted or of_agent or secrets.token_hex(4)


def keep_run_id(folder: Path, id: str) -> None:
    """Write the id down, for a process that goes on with the run.

    Args:
        folder: of the run; made if need be.
        id: of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, {"id": id})
