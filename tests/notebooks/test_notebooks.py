"""Every notebook runs from top to bottom in an empty folder, and computes what its text says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

LONGEST = 120  # seconds for a whole notebook: twice what docs/notebooks/index.md says of two idle cores
FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Checked in the notebook's own process when all of its cells have run.
CHECKS = {
    "01_quickstart": """
assert data.class_counts == [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]
assert noisy.metrics["many"] > 0.9 and noisy.metrics["few"] > repeated.metrics["few"]
border = noisy.result["phases"][1]["start"]
assert 0 < border < 80
losses = [[row["train/loss"] for row in run.epochs] for run in (repeated, noisy)]
assert losses[0][:border] == losses[1][:border] and losses[0][border] < losses[1][border]
assert files[-1].stat().st_size > 10_000
""",
    "02_dar_bn": """
assert 0.1 < batch.is_noise.float().mean() < 0.5
assert list(ratio) == ["norms.0", "norms.1", "norms.2"] and all(value < 1 for value in ratio.values())
assert abs(width_routed - 1) < 0.05 and width_plain < 0.9
assert trained == {"none": 2, "input": 5, "full": 11}
""",
    "03_your_own_loop": """
assert class_counts == [6, 56, 12, 26, 120]
assert history[5][1] == 0 and 0.05 < history[-1][1] < 0.5
assert history[5][0] < 0.5 * history[0][0] and np.mean(after) > 0.7
assert same
""",
    "04_read_a_sweep": """
assert [group.name for group in report.groups] == ["erm", "drs", "open"] and len(runs) == 9
assert reused == 2 * 3 * 40
assert {comparison.group.name for comparison in report.comparisons} == {"erm", "open"}
assert all(file.stat().st_size for file in files)
""",
}


def test_every_notebook_is_checked():
    assert [notebook.stem for notebook in NOTEBOOKS] == sorted(CHECKS)


@pytest.mark.skipif("OPONM_SLOW_TESTS" not in os.environ, reason="minutes of two cores")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    content = nbformat.read(notebook, as_version=4)
    content.cells.append(new_code_cell(CHECKS[notebook.stem]))
    client = NotebookClient(content, timeout=LONGEST, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    started = time.monotonic()
    client.execute()
    seconds = time.monotonic() - started
    assert seconds < LONGEST, f"{notebook.name} took {seconds:.0f} seconds, at most {LONGEST} are allowed"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_as_it_ran(notebook):
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    figures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert figures
    assert max(map(len, figures)) < 200_000
