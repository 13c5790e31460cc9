"""Why the processes of a run ended, written down by each for the command that started them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

from oponm.errors import BAD_INPUT
from oponm.signals import SIGNALLED
from oponm.training.result import write_json

NAME = "reason-{}.json"
TO_BE_TOLD = 2.0  # seconds that a process has to write down why it left the others
PASSING = (SIGNALLED + signal.SIGTERM, SIGNALLED + signal.SIGINT)  # also how the others are ended when one has died


def tell(job: Path, rank: int, code: int, message: str, step: int | None = None) -> None:
    """Write down why a process ends.

    Args:
        job: the folder that the processes share; where it is gone, nobody asks.
        rank: of the process.
        code: the exit code that the command ends with.
        message: for the user.
        step: of the checkpoint that is kept, if one is.
    """
    if job.is_dir():
        write_json(job / NAME.format(rank), {"code": code, "message": message, "step": step})


def told(job: Path) -> dict[str, Any] | None:
    """What the first of the processes that ended with a reason wrote; bad input before signals.

    Args:
        job: the folder that they share.

    Example:
        >>> import tempfile
        >>> job = Path(tempfile.mkdtemp())
        >>> told(job)
        >>> tell(job, 1, 143, "stopped by SIGTERM")
        >>> tell(job, 2, 2, "disk full")
        >>> told(job)
        {'code': 2, 'message': 'disk full', 'step': None}
    """
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(job.glob(NAME.format("*")))]
    return min(found, key=lambda reason: reason["code"] != BAD_INPUT, default=None)


def settled(job: Path) -> bool:
    """Whether a process that is started anew has nothing to do, as those before it had a reason to end that stays.

    One that was ended because another had died has not; what it wrote is forgotten.

    Args:
        job: the folder that they share.

    Example:
        >>> import tempfile
        >>> job = Path(tempfile.mkdtemp())
        >>> tell(job, 0, 143, "stopped by SIGTERM")
        >>> settled(job), told(job)
        (False, None)
        >>> tell(job, 0, 138, "stopped by SIGUSR1")
        >>> settled(job)
        True
    """
    reason = told(job)
    if reason is None:
        return False
    if reason["code"] not in PASSING:
        return True
    for file in job.glob(NAME.format("*")):
        file.unlink(missing_ok=True)
    return False


def another_told(job: Path) -> bool:
    """Whether another process wrote down why it left, which ends what this one does in an error of the connection.

    Args:
        job: the folder that they share.
    """
    end = time.monotonic() + TO_BE_TOLD
    while told(job) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
