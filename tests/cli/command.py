"""Run the command line as a user does: in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

QUICK = ["trainer.max_epochs=2", "logger=none"]


def oponm(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # As outside of any account, checkout or debugger.
    base = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "OPONM_", "HYDRA_"))}
    base |= {"NETRC": str(cwd / "no-netrc"), "COLUMNS": "120", "OPONM_CACHE": f"{cwd}-cache"}
    return subprocess.run(
        [sys.executable, "-m", "oponm", *arguments],
        cwd=cwd,
        env=base | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
