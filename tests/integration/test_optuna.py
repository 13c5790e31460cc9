"""A search by Optuna."""

from __future__ import annotations

import json

import pytest
import yaml
from hydra import compose, initialize_config_dir

from oponm.cli.plugins import store_plugins
from oponm.configs import CONF_DIR, groups
from tests.cli.command import QUICK, oponm


@pytest.mark.parametrize("search", groups()["hparams_search"])
def test_a_search_is_for_a_figure_of_the_validation_set(search):
    store_plugins()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"hparams_search={search}", "seed=3"], return_hydra_config=True)
    assert (config.data.val, config.optimized_metric) == ("split", "val/balanced_accuracy")
    assert (config.hydra.mode.name, config.hydra.sweeper.direction) == ("MULTIRUN", "maximize")
    assert {"optimizer.lr", "noise.delta"} <= set(config.hydra.sweeper.params)


def test_without_optuna_it_says_what_to_install(tmp_path):
    (tmp_path / "optuna.py").write_text("raise ImportError('absent')")
    done = oponm("train", *QUICK, "hparams_search=optuna", cwd=tmp_path, fresh=True, PYTHONPATH=_first(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "pip install 'oponm[optuna]'" in done.stderr


def test_three_trials(tmp_path):
    """One of them fails; the study is kept, and asked for one more it runs that one alone."""
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    search = ["train", *QUICK, "hparams_search=optuna", "output_dir=search", "resume=auto", "phase_cache=off"]
    search += ["hydra.sweeper.storage=sqlite:///study.db", "data.imbalance_ratio=choice(20,0.5)"]
    done = oponm(*search, "hydra.sweeper.n_trials=3", cwd=tmp_path)
    jobs = json.loads((tmp_path / "search/sweep.json").read_text())["jobs"]
    study = optuna.load_study(study_name="oponm", storage=f"sqlite:///{tmp_path}/study.db")
    assert {job["status"] for job in jobs} == {"done", "failed"}, done.stderr
    assert len(jobs) == 3
    assert study.direction.name == "MAXIMIZE"
    for job, trial in zip(jobs, study.trials, strict=True):
        assert 0.01 <= trial.params["optimizer.lr"] <= 0.3
        assert {f"{key}={value}" for key, value in trial.params.items()} <= set(job["overrides"])
        if trial.params["data.imbalance_ratio"] == "0.5":
            assert (job["status"], trial.state.name) == ("failed", "FAIL")
        else:
            result = json.loads((tmp_path / "search" / job["folder"] / "result.json").read_text())
            assert trial.value == result["validation_metrics"]["val/balanced_accuracy"]
    best = yaml.safe_load((tmp_path / "search/best.yaml").read_text())
    assert (best["trial"], best["value"]) == (study.best_trial.number, study.best_value)
    assert "best of" in done.stdout

    first = [trial.params for trial in study.trials]
    oponm(*search, "hydra.sweeper.n_trials=4", cwd=tmp_path)
    after = [trial.params for trial in study.trials]
    assert (after[:3], len(after)) == (first, 4)
    assert after[3] not in first


def test_what_cannot_be_searched(tmp_path):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    for argument, words in [
        ("hydra.sweeper.direction=up", "direction must be one of maximize, minimize"),
        ("hydra.sweeper.storage=nowhere", "hydra.sweeper.storage cannot be opened"),
        ("hydra.sweeper.n_trials=0", "n_trials must be"),
    ]:
        done = oponm("train", *QUICK, "hparams_search=optuna", "output_dir=search", argument, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def _first(folder):
    """A path on which a folder's modules are found before those that are installed."""
    from tests.cli.command import ROOT

    return f"{folder}:{ROOT}"
