"""Why jobs of a sweep failed, from its ``sweep.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from oponm.report.find import SUMMARY


def failures(sweep: Path) -> dict[Path, str]:
    """Why each job of a sweep failed that did, by the folder that was to be its run's.

    Args:
        sweep: its folder.

    Returns:
        None of a file that is missing, or that no sweep wrote.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> job = {"folder": "seed-0", "status": "failed", "reason": "loss is not finite"}
        >>> _ = (sweep / "sweep.json").write_text(json.dumps({"jobs": [job]}))
        >>> {folder.name: reason for folder, reason in failures(sweep).items()}
        {'seed-0': 'loss is not finite'}
    """
    try:
        jobs = json.loads((sweep / SUMMARY).read_text(encoding="utf-8"))["jobs"]
        return {
            sweep / str(job["folder"]): str(job.get("reason") or "without a word")
            for job in jobs
            if job["status"] != "done"
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def why_unfinished(run: Path) -> str | None:
    """Why a run failed, if it was a job of a sweep that says so.

    Args:
        run: its folder, below the sweep's.
    """
    for sweep in run.parents:
        if (sweep / SUMMARY).is_file():
            return failures(sweep).get(run)
    return None


def never_begun(sweeps: Iterable[Path]) -> list[str]:
    """A line for each job that failed before it had a folder.

    Args:
        sweeps: folders of sweeps.
    """
    found = {folder: reason for sweep in sweeps for folder, reason in failures(sweep).items()}
    return [f"{folder}: failed: {reason}" for folder, reason in found.items() if not folder.is_dir()]
