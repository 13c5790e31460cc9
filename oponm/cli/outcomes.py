"""How each job of a sweep ended, written down by the job wherever it ran, and collected at the end."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FOLDER = ".jobs"  # below the sweep's, while it runs
RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class Outcome:
    """How a job ended, or that it has begun.

    Attributes:
        number: of the job in the sweep, from 0.
        folder: of its run, below the sweep's.
        overrides: that made it this job.
        status: ``"running"``, ``"done"`` or ``"failed"``.
        reason: why it failed, in one line.
        bad_input: whether the user can mend that.
    """

    number: int
    folder: str
    overrides: list[str]
    status: str = RUNNING
    reason: str = ""
    bad_input: bool = False

    def write(self, sweep: Path) -> None:
        """Write it down below the folder of the sweep, in place of what was known of the job before."""
        from oponm.training.result import write_json

        folder = sweep / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{self.number}.json", asdict(self))


def read_outcomes(sweep: Path) -> list[Outcome]:
    """What the jobs of a sweep wrote, by number; one that never wrote how it ended failed.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> Outcome(0, "seed-0", ["seed=0"], DONE).write(sweep)
        >>> Outcome(1, "seed-1", ["seed=1"]).write(sweep)
        >>> [(outcome.folder, outcome.status, outcome.reason) for outcome in read_outcomes(sweep)]
        [('seed-0', 'done', ''), ('seed-1', 'failed', 'its process ended without a word')]
    """
    files = (sweep / FOLDER).glob("*.json")
    found = [Outcome(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
    lost = "its process ended without a word"
    ended = [replace(one, status=FAILED, reason=lost) if one.status == RUNNING else one for one in found]
    return sorted(ended, key=lambda outcome: outcome.number)


def has_begun(sweep: Path, number: int) -> bool:
    """Whether a job of the sweep that is running has begun before: a scheduler then runs it again.

    Args:
        sweep: its folder.
        number: of the job.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> Outcome(0, "seed-0", ["seed=0"]).write(sweep)
        >>> has_begun(sweep, 0), has_begun(sweep, 1)
        (True, False)
    """
    file = sweep / FOLDER / f"{number}.json"
    return file.is_file() and bool(json.loads(file.read_text(encoding="utf-8"))["folder"])


def forget_outcomes(sweep: Path) -> None:
    """Remove what the jobs wrote."""
    shutil.rmtree(sweep / FOLDER, ignore_errors=True)
