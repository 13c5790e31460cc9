"""Records how each job of a sweep ended: each job writes a file, and the sweep reads them at its end."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from oponm.run_files import write_json

FOLDER = ".jobs"  # inside the sweep's folder while it runs; with a folder for each sweep that runs there
NOT_RUN, RUNNING, DONE, FAILED = "not run", "running", "done", "failed"
UNENDED = {NOT_RUN: "the sweep ended before it began", RUNNING: "had not ended when the sweep's command did"}
LOST = "its process ended without a word"


@dataclass(frozen=True)
class Outcome:
    """The state of a job, or how it ended.

    Attributes:
        number: number of the job in the sweep, from 0.
        folder: folder of its run, inside the sweep's; it may not exist yet.
        overrides: the job's overrides.
        status: ``"not run"``, ``"running"``, ``"done"`` or ``"failed"``.
        reason: why it failed or is not done, in one line.
        bad_input: whether the user can correct the failure.
    """

    number: int
    folder: str
    overrides: list[str]
    status: str = NOT_RUN
    reason: str = ""
    bad_input: bool = False


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of one sweep, a file per job; sweeps that run in the same folder at once keep their files apart.

    Attributes:
        sweep: the folder of the sweep.
        name: name of this sweep, from its host and process: the folder of its files inside ``.jobs``.

    Example:
        >>> import tempfile
        >>> outcomes = Outcomes.of(Path(tempfile.mkdtemp()))
        >>> outcomes.write(Outcome(0, "open,seed=0", ["seed=0"], RUNNING))
        >>> outcomes.write(Outcome(1, "open,seed=1", ["seed=1"]))
        >>> outcomes.lose(0, LOST)
        >>> [(outcome.folder, outcome.status, outcome.reason) for outcome in outcomes.read()]
        [('open,seed=0', 'failed', 'its process ended without a word'),
         ('open,seed=1', 'not run', 'the sweep ended before it began')]
    """

    sweep: Path
    name: str

    @classmethod
    def of(cls, sweep: Path) -> Outcomes:
        """Create the outcomes of this process's sweep; a pickled copy in another process uses the same files."""
        return cls(sweep, f"{socket.gethostname()}-{os.getpid()}")

    def write(self, outcome: Outcome) -> None:
        """Write an outcome, in place of an earlier one of the job."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / f"{outcome.number}.json", asdict(outcome))

    def read(self) -> list[Outcome]:
        """Return the outcomes of all jobs after the sweep, sorted by number."""
        found = [_read(file) for file in self._folder.glob("*.json")]
        ended = [replace(one, reason=UNENDED.get(one.status, one.reason)) for one in found]
        return sorted(ended, key=lambda outcome: outcome.number)

    def lose(self, number: int, reason: str) -> None:
        """Record that a job failed, unless it has already recorded that it is done or failed.

        Args:
            number: number of the job.
            reason: why it failed.
        """
        outcome = _read(self._folder / f"{number}.json")
        if outcome.status in UNENDED:
            self.write(replace(outcome, status=FAILED, reason=reason))

    def forget(self) -> None:
        """Remove the files of this sweep, and those of sweeps on this machine that were killed."""
        folder = self.sweep / FOLDER
        for other in folder.glob("*"):
            host, _, process = other.name.rpartition("-")
            if other.name == self.name or (host == socket.gethostname() and not _is_alive(int(process))):
                shutil.rmtree(other, ignore_errors=True)
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return self.sweep / FOLDER / self.name


def _read(file: Path) -> Outcome:
    return Outcome(**json.loads(file.read_text(encoding="utf-8")))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
