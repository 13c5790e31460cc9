"""A process of a run that a signal has ended takes its decoding processes along."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import ROOT

SCRIPT = """
import multiprocessing, sys, time
sys.path.insert(0, sys.argv[1])
from oponm.training import launch
launch._TO_BE_ASKED = 0.1
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
child.start()
print(child.pid, flush=True)
launch._end_soon()
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_decoding_processes_end_with_the_process_that_started_them():
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    status, end = Path(f"/proc/{int(done.stdout)}/status"), time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
