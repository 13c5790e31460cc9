"""The versions that a result was measured with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDED = ("oponm", "torch", "pytorch-lightning", "torchmetrics", "kornia", "numpy")


def environment() -> dict[str, Any]:
    """Versions and the git commit that a result was measured with.

    Returns:
        ``{"python": ..., "versions": {...}, "git_commit": ...}``; the commit is None outside a checkout, and ends in
        ``-dirty`` where files differ from it.

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
