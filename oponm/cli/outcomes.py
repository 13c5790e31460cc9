"""How each job of a sweep ended, written down by the job wherever it ran, and collected at the end."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FOLDER = ".jobs"  # below the sweep's, while it runs; in it a folder for each sweep that runs there
NOT_RUN, RUNNING, DONE, FAILED = "not run", "running", "done", "failed"
UNENDED = {NOT_RUN: "the sweep ended before it began", RUNNING: "had not ended when the sweep's command did"}
_own = f"{socket.gethostname()}-{os.getpid()}"


def sweep_name() -> str:
    """What tells the sweep of this process from others in the same folder."""
    return _own


def belong_to(name: str) -> None:
    """Make this process, which a launcher has started, one of another's sweep.

    Args:
        name: :func:`sweep_name` in the process of the command.
    """
    global _own
    _own = name


@dataclass(frozen=True)
class Outcome:
    """How a job ended, or how far it has come.

    Attributes:
        number: of the job in the sweep, from 0.
        folder: of its run, below the sweep's; empty before it begins.
        overrides: that made it this job.
        status: ``"not run"``, ``"running"``, ``"done"`` or ``"failed"``.
        reason: why it failed, or is not done, in one line.
        bad_input: whether the user can mend that.
    """

    number: int
    folder: str
    overrides: list[str]
    status: str = NOT_RUN
    reason: str = ""
    bad_input: bool = False

    def write(self, sweep: Path) -> None:
        """Write it down below the folder of the sweep, in place of what was known of the job before."""
        from oponm.training.result import write_json

        folder = _folder(sweep)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{self.number}.json", asdict(self))


def read_outcomes(sweep: Path) -> list[Outcome]:
    """What is known of the jobs of a sweep when it is over, by number.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> Outcome(0, "seed-0", ["seed=0"], DONE).write(sweep)
        >>> Outcome(1, "", ["seed=1"]).write(sweep)
        >>> [(outcome.folder, outcome.status, outcome.reason) for outcome in read_outcomes(sweep)]
        [('seed-0', 'done', ''), ('', 'not run', 'the sweep ended before it began')]
    """
    found = [_read(file) for file in _folder(sweep).glob("*.json")]
    ended = [replace(one, reason=UNENDED.get(one.status, one.reason)) for one in found]
    return sorted(ended, key=lambda outcome: outcome.number)


def lose(sweep: Path, number: int, reason: str) -> None:
    """Write down that a job failed, unless it has written down itself how it ended.

    Args:
        sweep: its folder.
        number: of the job, whose process is gone.
        reason: why it failed.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> Outcome(0, "seed-0", ["seed=0"], RUNNING).write(sweep)
        >>> lose(sweep, 0, "its process ended without a word")
        >>> lose(sweep, 0, "and another one")
        >>> [(outcome.status, outcome.reason) for outcome in read_outcomes(sweep)]
        [('failed', 'its process ended without a word')]
    """
    outcome = _read(_folder(sweep) / f"{number}.json")
    if outcome.status in UNENDED:
        replace(outcome, status=FAILED, reason=reason).write(sweep)


def has_begun(sweep: Path, number: int) -> bool:
    """Whether a job of the sweep that is running has begun before: a scheduler then runs it again.

    Args:
        sweep: its folder.
        number: of the job.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> Outcome(0, "seed-0", ["seed=0"], RUNNING).write(sweep)
        >>> has_begun(sweep, 0), has_begun(sweep, 1)
        (True, False)
    """
    file = _folder(sweep) / f"{number}.json"
    return file.is_file() and bool(_read(file).folder)


def _read(file: Path) -> Outcome:
    return Outcome(**json.loads(file.read_text(encoding="utf-8")))


def forget_outcomes(sweep: Path) -> None:
    """Remove what the jobs of this sweep wrote, and those of sweeps of this machine that were killed."""
    for folder in (sweep / FOLDER).glob("*"):
        host, _, process = folder.name.rpartition("-")
        if folder.name == _own or (host == socket.gethostname() and not _is_alive(int(process))):
            shutil.rmtree(folder, ignore_errors=True)
    if (sweep / FOLDER).is_dir() and not any((sweep / FOLDER).iterdir()):
        shutil.rmtree(sweep / FOLDER, ignore_errors=True)


def _folder(sweep: Path) -> Path:
    return sweep / FOLDER / _own


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
