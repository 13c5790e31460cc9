"""Collects the versions of Python and of libraries, and the git commit, for ``result.json``."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDED = ("oponm", "torch", "pytorch-lightning", "torchmetrics", "kornia", "numpy")


def environment() -> dict[str, Any]:
    """Return the versions of Python and of libraries, and the git commit, for ``result.json``.

    Returns:
        ``{"python": ..., "versions": {...}, "git_commit": ...}``. ``git_commit`` is None outside a checkout; its text
        ends in ``-dirty`` if files of the checkout differ from the commit.

    Example:
        >>> sorted(environment())
        ['git_commit', 'python', 'versions']
    """
    return {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in RECORDED},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", source, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
