"""What a run gives to the sweeper that asked for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import QUICK, ROOT, files_below, oponm

SWEEPER = '''
import json
from pathlib import Path
from hydra.plugins.sweeper import Sweeper


class AskingSweeper(Sweeper):
    """Tries two seeds, and writes down the figure that each returns."""

    def __init__(self, **kwargs):
        pass

    def setup(self, *, hydra_context, task_function, config):
        from hydra.core.plugins import Plugins

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        ended = self.launcher.launch([[*arguments, f"seed={seed}"] for seed in (0, 1)], initial_job_idx=0)
        Path("figures.json").write_text(json.dumps([job.return_value for job in ended]))
'''
ASKING = ["-m", "hydra.sweeper._target_=hydra_plugins.asking.AskingSweeper", "output_dir=sweep", "phase_cache=off"]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "plugins/hydra_plugins").mkdir(parents=True)
    (tmp_path / "plugins/hydra_plugins/asking.py").write_text(SWEEPER)
    return tmp_path


def sweep(folder: Path, *arguments: str):
    path = f"{folder / 'plugins'}:{ROOT}"
    return oponm("train", *QUICK, *ASKING, *arguments, cwd=folder, fresh=True, PYTHONPATH=path)


def test_a_sweeper_gets_a_figure_of_the_validation_set(folder):
    done = sweep(folder, "data.val=split", "optimized_metric=val/accuracy")
    assert done.returncode == 0, done.stderr
    jobs = json.loads((folder / "sweep/sweep.json").read_text())["jobs"]
    results = [json.loads((folder / "sweep" / job["folder"] / "result.json").read_text()) for job in jobs]
    figures = json.loads((folder / "figures.json").read_text())
    assert figures == [result["validation_metrics"]["val/accuracy"] for result in results]
    assert figures != [result["metrics"]["accuracy"] for result in results]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("data.val=none", ["data.val is none", "data.val=split"]),
        ("optimized_metric=test/accuracy", ["optimized_metric must be a metric of the validation set"]),
        ("optimized_metric=null", ["optimized_metric is null", "val/balanced_accuracy"]),
    ],
)
def test_a_sweeper_that_cannot_be_answered(folder, argument, words):
    done = sweep(folder, *([] if argument.startswith("data.val") else ["data.val=split"]), argument)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert files_below(folder) == {"figures.json", "plugins/hydra_plugins/asking.py"}


@pytest.mark.slow
def test_a_figure_that_was_not_measured_is_named(folder):
    done = sweep(folder, "data.val=split", "optimized_metric=val/glory")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "'val/glory'" in done.stderr
    assert "val/balanced_accuracy" in done.stderr


def test_a_sweeper_without_a_sweep_is_refused(tmp_path):
    done = oponm(
        "train", *QUICK, "hydra/sweeper=rows", 'hydra.sweeper.rows=["method=erm"]', "output_dir=run", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (2, "oponm: hydra/sweeper is for sweeps: add -m\n")
    assert list(tmp_path.iterdir()) == []


def test_hydra_s_own_sweeper_asks_for_none(tmp_path):
    done = oponm("train", "-m", *QUICK, "seed=0", "output_dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
