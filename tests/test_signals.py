"""A run that is stopped says so, and keeps the weights it has."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_stopped_run(tmp_path, sent, code):
    command = [sys.executable, "-m", "oponm", "train", "trainer.max_epochs=100000", "output_dir=run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Where the tests themselves run under nohup, SIGHUP would be ignored in what they start too.
    run = subprocess.Popen(
        command, cwd=tmp_path, text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **pipes
    )
    metrics = tmp_path / "run/metrics.csv"
    for _ in range(600):
        time.sleep(0.1)
        if metrics.exists() and metrics.read_text().count("\n") > 2:
            break
    run.send_signal(sent)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == code, errors
    assert errors.splitlines()[-1].startswith("oponm: ")
    assert not (tmp_path / "run/result.json").exists()
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["epoch"] > 0
    assert len(checkpoint["split"]["split_digest"]) == 64


def test_nohup_lives_on():
    code = "import os, signal, oponm.signals as s\nwith s.Stop() as stop: os.kill(os.getpid(), 1)\nprint(stop.received)"
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "None\n")
