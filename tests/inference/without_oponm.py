"""Run code in a process where oponm cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocker())
"""


def run_without(code: str, cwd: Path, *also: str) -> str:
    """Run ``code`` with oponm, and what is named beside it, out of reach; return what it prints."""
    program = f"BLOCKED = {('oponm', *also)!r}\n{_BLOCK}\n{code}"
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
