"""``python -m oponm.cli.worker JOB``: one process of a run, started by :mod:`oponm.cli.processes`."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input
from oponm.cli.lean import import_leanly
from oponm.cli.output import unfailing_output
from oponm.cli.processes import JOB, MEASURED
from oponm.cli.quiet import quiet_libraries, quiet_process
from oponm.launched import restarted
from oponm.parent import end_with_parent
from oponm.run_files import LOG_FILE
from oponm.signals import AtOnce, Stopped


def be_worker(job: Path) -> int:
    """Train as one of the processes of a run.

    Args:
        job: the folder that :func:`~oponm.cli.processes.run_in_processes` made.

    Returns:
        The exit code: 0 also where the run ended for a reason that is written down, as another code would have all
        processes started anew.
    """
    from oponm.training.reasons import another_told, settled, tell

    if restarted() and settled(job):
        return 0
    from oponm.training.processes import join, leave, rank
    from oponm.training.result import write_json

    this = int(os.environ["RANK"])
    try:
        with AtOnce():
            quiet_libraries()
            content = json.loads((job / JOB).read_text(encoding="utf-8"))
            config: Any = OmegaConf.create(content["config"])
            folder = Path(content["folder"])
            join()
            if rank() == 0:
                _log_to(folder / LOG_FILE)
            else:
                quiet_process()
            from oponm.cli.job import run_job

            measured = run_job(config, folder, content["overrides"], content["begun"] or restarted())
            if rank() == 0:
                write_json(job / MEASURED, measured)
    except Stopped as stopped:
        tell(job, this, SIGNALLED + stopped.signal, str(stopped), stopped.step)
    except Exception as error:
        if is_bad_input(error):
            tell(job, this, BAD_INPUT, str(error))
        elif isinstance(error, ChildProcessError):
            return 1  # the first process says why
        elif not another_told(job):
            raise
    finally:
        leave()
    return 0


def _log_to(file: Path) -> None:
    """Log as a run in one process does: all to the file, warnings to the terminal too."""
    terminal, lines = logging.StreamHandler(), logging.FileHandler(file)
    terminal.setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO, handlers=[terminal, lines], format="%(asctime)s %(levelname)s %(message)s", force=True
    )


if __name__ == "__main__":
    end_with_parent()
    import_leanly()
    with unfailing_output():
        code = be_worker(Path(sys.argv[1]))
    sys.exit(code)
