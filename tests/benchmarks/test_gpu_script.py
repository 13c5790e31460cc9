from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TITLES = ["The tests that need a GPU", "DAR-BN against batch norm", "A training step, OPeN against ERM, eager"]
TITLES += ["Runs side by side", "A training step, OPeN against ERM, compiled", "DAR-BN against batch norm"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_rehearsal_on_the_cpu_comes_to_every_part(tmp_path):
    file = tmp_path / "gpu.md"
    finished = run("--tiny", "--out", str(file))
    assert finished.returncode == 0, finished.stderr
    assert file.read_text() == finished.stdout
    titles = re.findall(r"^## (.+)$", finished.stdout, re.MULTILINE)
    assert [title.partition(", torch.")[0] for title in titles] == TITLES
    assert "failed" not in finished.stdout
    assert finished.stdout.endswith("All parts are done.\n")
    for section in finished.stdout.split("\n## ")[1:]:
        header, _, *rows = [line.split(" | ") for line in section.splitlines() if line.startswith("|")]
        assert rows
        assert all(len(row) == len(header) for row in rows)
        ratios = [re.search(r"\| ([\d.]+) \([\d.]+ to [\d.]+\) [✓✗]", " | ".join(row)) for row in rows]
        if "against" in section.partition("\n")[0]:
            assert all(float(ratio[1]) > 0 for ratio in ratios)


@pytest.mark.slow
def test_at_the_time_limit_it_keeps_what_it_has(tmp_path):
    file = tmp_path / "gpu.md"
    for number in (1, 2):  # the second adds to the first's
        finished = run("--tiny", "--minutes", "0.02", "--out", str(file))
        assert finished.returncode == 0, finished.stderr
        assert re.search(r"^Time was up after 0.02 minutes, in this part: .+\.$", finished.stdout, re.MULTILINE)
        assert file.read_text().count("Time was up") == number


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_what_can_be_done():
    finished = run()
    assert finished.returncode == 1
    assert "--tiny" in finished.stderr
    assert "Traceback" not in finished.stderr
