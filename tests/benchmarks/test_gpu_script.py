from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif("OPONM_SLOW_TESTS" not in os.environ, reason="a minute of two cores")
def test_a_tiny_run_on_the_cpu_prints_both_tables():
    finished = run("--tiny")
    assert finished.returncode == 0, finished.stderr
    titles = re.findall(r"^## (.+)$", finished.stdout, re.MULTILINE)
    assert titles == ["GPU: DAR-BN against batch norm", "GPU: a training step, OPeN against ERM"]
    layer, step = (line for line in finished.stdout.splitlines() if line.startswith(("| (8", "| WRN")))
    for line in (layer, step):
        ratio = float(re.search(r"\| ([\d.]+) \(", line)[1])
        assert ratio > 0
    images_per_second = float(step.split(" | ")[5].replace(",", ""))
    assert images_per_second > 0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_what_can_be_done():
    finished = run()
    assert finished.returncode == 1
    assert "--tiny" in finished.stderr
    assert "Traceback" not in finished.stderr
