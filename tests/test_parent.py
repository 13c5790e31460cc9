"""A process of a run whose launcher is killed ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

CHILD = """
import pathlib, signal, sys, time
from oponm.parent import end_with_parent
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
end_with_parent(look_every=0.05, grace=0.3)
pathlib.Path("ready").touch()
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_it_is_asked_to_end_and_then_made_to(tmp_path):
    pipes = {"cwd": tmp_path, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], **pipes)
    child = int(parent.stdout.readline())
    _until(lambda: (tmp_path / "ready").exists())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: not _alive(child))
    assert (tmp_path / "asked").exists()


def _alive(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def _until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
