"""Start the processes of a run of the command line."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

JOB, MEASURED = "job.json", "measured.json"
# At Ctrl-C while it imports, a worker ends without a traceback, as at the other signals.
WORKER = """import runpy, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
runpy.run_module("oponm.cli.worker", run_name="__main__")
"""


def run_in_processes(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train in ``trainer.devices`` processes of this machine.

    If one dies, all end; ``trainer.max_restarts`` times they are started anew and go on from the last checkpoint. A
    signal, or what the user can mend, ends the run at once.

    Args:
        config: of the run.
        folder: of the run.
        overrides: that made the config.
        begun: the folder holds a run to go on with.

    Returns:
        What the first process measured.

    Raises:
        InputError: what the processes could not use.
        Stopped: if they ended at a signal.
        ChildProcessError: if one died.
    """
    from oponm.training.launch import explain, launch_processes

    with tempfile.TemporaryDirectory(prefix="oponm-") as scratch:
        job = Path(scratch)
        content = {"config": OmegaConf.to_yaml(config), "folder": str(folder), "overrides": overrides, "begun": begun}
        (job / JOB).write_text(json.dumps(content), encoding="utf-8")
        launch_processes(
            *(sys.executable, "-c", WORKER, scratch),
            job=job,
            devices=config.trainer.devices,
            max_restarts=config.trainer.max_restarts,
        )
        if not (job / MEASURED).is_file():
            explain(job)
        return dict(json.loads((job / MEASURED).read_text(encoding="utf-8")))
