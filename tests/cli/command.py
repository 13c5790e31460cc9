"""Run the command line as a user does: in a process of its own, in an empty folder."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

QUICK = ["trainer.max_epochs=2", "logger=none"]
ROOT = Path(__file__).parents[2]


def oponm(*arguments: str, cwd: Path, fresh: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; ``fresh`` starts Python anew for it, where else it is forked off a process that has imported."""
    # As outside of any account, checkout or debugger.
    base = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "OPONM_", "HYDRA_"))}
    base |= {"NETRC": str(cwd / "no-netrc"), "COLUMNS": "120", "OPONM_CACHE": f"{cwd}-cache"}
    base |= environment
    if fresh:
        command = [sys.executable, "-m", "oponm", *arguments]
        return subprocess.run(
            command, cwd=cwd, env=base, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = (Path(folder, name) for name in ("stdout", "stderr"))
        request = {"arguments": arguments, "cwd": str(cwd), "env": base, "stdout": str(stdout), "stderr": str(stderr)}
        server = _server()
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())


@functools.cache
def _server() -> subprocess.Popen[str]:
    """One for each process of the tests."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.server"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(server.kill)
    return server


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
