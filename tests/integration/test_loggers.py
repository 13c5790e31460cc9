"""A run with all loggers at once, read back from what each of them wrote."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
import wandb
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from oponm import __version__
from oponm.cli.wandb_defaults import fill_in_wandb
from oponm.errors import InputError
from oponm.metrics import read_confusion
from oponm.training import run
from oponm.training.loggers import open_loggers
from tests.cli.command import oponm
from tests.cli.compose import compose_config
from tests.logging.wandb_files import Recorded, read_offline

SECRET = "5ec4e7" * 7
CHOICES = {"data": "digits_lt", "model": "small_cnn", "method": "open"}
OFFLINE = ["logger=wandb", "logger.wandb.offline=true"]


def make_run(folder: Path, *overrides: str, all_loggers: bool = True) -> dict:
    settings = ["trainer.max_epochs=4", "data.val=split", "phase_cache=off", f"output_dir={folder}", *overrides]
    config = compose_config(*settings)
    if all_loggers:
        OmegaConf.set_struct(config, False)
        config.logger.tensorboard = compose_config("logger=tensorboard", f"output_dir={folder}").logger.tensorboard
    fill_in_wandb(config, CHOICES, folder, "outputs/noise_grad")
    return run(config, choices=CHOICES, overrides=settings).result


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", SECRET)
        patch.setenv("WANDB_DATA_DIR", str(folder / "data"))
        return folder / "run", make_run(folder / "run", *OFFLINE)


@pytest.fixture(scope="module")
def recorded(finished) -> Recorded:
    wandb.teardown()  # as at the end of the process: the rest is written
    (record,) = read_offline(finished[0])
    return record


def test_what_the_run_is(recorded):
    assert recorded.run.run_group == "outputs/noise_grad"
    assert recorded.run.job_type == "open"
    assert recorded.run.display_name == "run"
    assert set(recorded.run.tags) == {"digits_lt", "small_cnn", "open"}
    assert recorded.config["trainer"]["max_epochs"] == 4
    assert recorded.config["method"]["phases"][1] == {"epochs": 40, "sampler": "class_balanced", "noise": True}
    own = {name: value for name, value in recorded.config.items() if name != "_wandb"}
    assert "${" not in json.dumps(own)
    assert recorded.exit_code == 0


def test_facts_are_in_the_summary(finished, recorded):
    result = finished[1]
    for key in ("split_digest", "content_digest", "validation"):
        assert recorded.summary[key] == result[key]
    assert recorded.summary["versions"]["oponm"] == __version__
    assert recorded.summary["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "git_commit" in recorded.summary
    assert recorded.summary["phase_names"] == ["instance", "class_balanced+noise"]
    assert recorded.summary["phases"]["_type"] == "table-file"
    assert recorded.summary["best_epoch"] == result["best"]["epoch"]
    assert recorded.summary["test/accuracy"] == pytest.approx(result["metrics"]["accuracy"])


def test_figures_and_tables_are_there(finished, recorded):
    shown = _shown(recorded)
    pictures = ["data/class_counts", "data/images", "dar_bn/statistics"]
    pictures += [f"test/{name}" for name in ("class_accuracy", "confusion_matrix", "noise_histogram")]
    assert {name for name in recorded.history[0] | recorded.history[1] if "/" in name} > set(pictures[:2])
    for name in pictures:
        (picture,) = shown[name]["filenames"]
        assert (next(finished[0].glob("wandb/offline-run-*/files")) / picture).stat().st_size > 5000
        assert picture in recorded.files
    tables = {name: _table(finished[0], shown[name]) for name in ("test/classes", "phases", "dar_bn/layers")}
    assert [row[3] for row in tables["test/classes"]] == finished[1]["recall"]
    assert [row[5] for row in tables["test/classes"]] == finished[1]["noise_histogram"]
    assert sum(finished[1]["noise_histogram"]) == 1000
    assert [row[0] for row in tables["dar_bn/layers"]] == ["norms.0", "norms.1", "norms.2"]
    assert [row[:3] for row in tables["phases"]] == [[0, "instance", 0], [1, "class_balanced+noise", 3]]


def test_charts_of_weights_and_biases_are_there(finished, recorded):
    shown, result = _shown(recorded), finished[1]
    kinds = recorded.config["_wandb"]["visualize"]
    specs = {name: kind["panel_config"]["panelDefId"] for name, kind in kinds.items()}
    assert specs == {
        "charts/class_accuracy": "wandb/bar/v0",
        "charts/noise_histogram": "wandb/bar/v0",
        "charts/confusion_matrix": "wandb/confusion_matrix/v1",
    }
    tables = {name: _table(finished[0], shown[f"{name}_table"]) for name in specs}
    matrix = read_confusion(finished[0], result["confusion_matrix"]).toarray().tolist()
    assert [row[1] for row in tables["charts/class_accuracy"]] == result["recall"]
    assert [row[1] for row in tables["charts/noise_histogram"]] == result["noise_histogram"]
    assert [row[2] for row in tables["charts/confusion_matrix"]] == [*chain.from_iterable(matrix)]


def _shown(recorded: Recorded) -> dict[str, dict]:
    """Figures and tables by name, each of which is shown once."""
    shown = [(name, value) for row in recorded.history for name, value in row.items() if isinstance(value, dict)]
    assert len(dict(shown)) == len(shown)
    return dict(shown)


def _table(folder: Path, shown: dict) -> list:
    file = next(folder.glob("wandb/offline-run-*/files")) / shown["path"]
    return json.loads(file.read_text())["data"]


def test_the_best_checkpoint_is_an_artifact(finished, recorded):
    (artifact,) = [each for each in recorded.artifacts if each.type == "model"]
    assert "best" in artifact.aliases
    (content,) = artifact.manifest.contents
    assert Path(content.local_path) == finished[0] / "checkpoints/best.ckpt"
    assert json.loads(artifact.metadata)["accuracy"] == finished[1]["best"]["metrics"]["accuracy"]


def test_scalars_come_by_phase(recorded):
    phases = {row["epoch"]: row["phase"] for _, row in recorded.scalars() if "phase" in row}
    assert phases == {0: 0, 1: 0, 2: 0, 3: 1}


def test_all_loggers_have_the_same_scalars(finished, recorded):
    by_wandb = {(step, name): value for step, row in recorded.scalars() for name, value in row.items()}
    rows = list(csv.DictReader((finished[0] / "metrics.csv").open()))
    by_csv = {
        (int(row["step"]), name): float(value)
        for row in rows
        for name, value in row.items()
        if value and name != "step"
    }
    events = EventAccumulator(str(finished[0] / "tensorboard"))
    events.Reload()
    by_tensorboard = {(each.step, tag): each.value for tag in events.Tags()["scalars"] for each in events.Scalars(tag)}
    assert by_wandb.keys() == by_csv.keys() == by_tensorboard.keys()
    assert {name for _, name in by_csv} >= {"train/loss", "val/balanced_accuracy", "test/few", "lr", "phase"}
    for key, value in by_wandb.items():
        assert by_csv[key] == pytest.approx(value, rel=1e-5)
        assert by_tensorboard[key] == pytest.approx(value, rel=1e-5)
    images = {"data/class_counts", "data/images", "dar_bn/statistics"}
    images |= {"test/class_accuracy", "test/confusion_matrix", "test/noise_histogram"}
    assert set(events.Tags()["images"]) == images


def test_loggers_change_nothing(finished, tmp_path):
    alone = make_run(tmp_path / "run", "logger=none", all_loggers=False)
    timed = {"train_seconds", "seconds", "overrides"}
    assert {k: v for k, v in alone.items() if k not in timed} == {
        k: v for k, v in finished[1].items() if k not in timed
    }
    for name in ("last", "best"):
        ours, theirs = (
            torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (tmp_path / "run", finished[0])
        )
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


def test_no_secret_is_written(finished):
    files = [path for path in finished[0].rglob("*") if path.is_file()]
    assert len(files) > 15
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_run_that_fails_is_finished_all_the_same(tmp_path):
    config = compose_config(*OFFLINE, f"output_dir={tmp_path}")
    with pytest.raises(ZeroDivisionError), open_loggers(config.logger) as loggers:  # noqa: PT012
        loggers[-1].log_metrics({"loss": 1.0}, 0)
        raise ZeroDivisionError
    (record,) = read_offline(tmp_path)
    assert record.exit_code == 1


def test_a_key_is_asked_for_but_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    config = compose_config("logger=wandb", f"output_dir={tmp_path}")
    monkeypatch.setattr("wandb.login", lambda prompt, verify: False)
    with pytest.raises(InputError, match="wandb login"), open_loggers(config.logger):
        pass
    monkeypatch.setattr("wandb.login", lambda prompt, verify: 1 / 0)
    with open_loggers(config.logger) as loggers:
        assert len(loggers) == 2


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_costs_a_warning(tmp_path):
    """Weights & Biases' own client, told of a port where nobody listens."""
    unreachable = {
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_API_KEY": SECRET[:40],
        "WANDB_DATA_DIR": str(tmp_path),
    }
    settings = ["logger=wandb", "logger.wandb.init_timeout=3", "trainer.max_epochs=2", "phase_cache=off"]
    done = oponm("train", *settings, "output_dir=run", cwd=tmp_path, **unreachable)
    assert done.returncode == 0, done.stderr
    assert "wandb could not begin a run on its server" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run/result.json").is_file()
    offline = next((tmp_path / "run/wandb").glob("offline-run-*"))
    assert [file for file in offline.iterdir() if file.suffix == ".wandb"]  # for "wandb sync"


def test_each_job_of_a_sweep_is_a_run_of_one_group_also_after_a_failure(tmp_path):
    jobs = ["-m", "optimizer.lr=1e30,0.1", "method=drs", "trainer.max_epochs=2", "output_dir=sweeps/rates"]
    done = oponm("train", *jobs, *OFFLINE, "logger.wandb.tags=[mine]", cwd=tmp_path, WANDB_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    folders = [file.parent for file in (tmp_path / "sweeps/rates").glob("*/config.yaml")]
    records = [record for folder in folders for record in read_offline(folder)]
    assert sorted(record.exit_code for record in records) == [0, 1]
    for record in records:
        assert (record.run.run_group, record.run.job_type) == ("sweeps/rates", "drs")
        assert list(record.run.tags) == ["mine"]


KILLED = """
import os, sys
from oponm.training.module import LongTailModule

def dying(self, begin=LongTailModule.on_train_epoch_start):
    begin(self)
    if self.current_epoch == 2:
        os.kill(os.getpid(), 9)

LongTailModule.on_train_epoch_start = dying
from oponm.cli.main import main
sys.argv[0] = "oponm"
main()
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_as_the_same_run(tmp_path):
    # Three steps an epoch, a phase that begins in the last: the checkpoint is older than what was logged.
    settings = ["trainer.max_epochs=4", *OFFLINE, "trainer.checkpoint_every_n_steps=4", "output_dir=run"]
    environment = os.environ | {"OPONM_CACHE": str(tmp_path / "cache"), "WANDB_DATA_DIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "train", *settings], cwd=tmp_path, env=environment, check=False
    )
    assert killed.returncode == -9
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    done = oponm("train", "resume=run", cwd=tmp_path, WANDB_DATA_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (record,) = read_offline(tmp_path / "run")  # in place of that of the process that was killed
    assert record.run.run_id == _id(tmp_path / "run")
    assert record.exit_code == 0
    assert record.steps == list(range(len(record.steps)))
    logged = [(step, row["epoch"]) for step, row in record.scalars() if "train/loss" in row]
    assert logged == [(2, 0), (5, 1), (8, 2), (11, 3)]


def _id(folder: Path) -> str:
    return json.loads((folder / "wandb.json").read_text())["id"]
