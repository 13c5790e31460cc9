from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time

import pytest
import pytorch_lightning as pl
import wandb
from matplotlib.figure import Figure
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.utilities import rank_zero_only

from oponm.errors import InputError
from oponm.logging import WandbLogger
from tests.cli.wandb_server import wandb_server
from tests.logging.wandb_files import read_offline


@pytest.fixture(autouse=True)
def outside_of_any_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


class Broken:
    """A run whose server, disk or service has gone."""

    offline, starting_step, dir = False, 0, "wandb/offline-run-1/files"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str):
        def call(*args, **kwargs):
            self.calls.append(name)
            if name != "define_metric":
                raise TimeoutError(f"{name} got no answer")

        return call


def test_a_process_that_goes_on_leaves_neither_gap_nor_duplicate(tmp_path):
    rows = [({"loss": 1 / (epoch + 1), "epoch": epoch}, 3 * epoch) for epoch in range(6)]
    for known, logged in ((0, 3), (3, 6)):  # the second process logs again what the first one had
        logger = WandbLogger(tmp_path, offline=True)
        for metrics, step in rows[:logged]:
            logger.log_metrics(metrics, step)
        logger.close(failed=known == 0)
        wandb.teardown()  # as at the end of the process
        time.sleep(1.1)  # folders are named by the second
    first, second = read_offline(tmp_path)
    assert first.run.run_id == second.run.run_id
    assert first.steps + second.steps == list(range(6))
    assert [step for step, _ in first.scalars() + second.scalars()] == [step for _, step in rows]
    assert (first.exit_code, second.exit_code) == (1, 0)


KILLED = """
import os, sys, wandb
from oponm.logging import WandbLogger
logger = WandbLogger(sys.argv[1], offline=sys.argv[2] == "offline")
for step in range(int(sys.argv[3])):
    logger.log_metrics({"loss": 1.0, **{f"metric{number}": number for number in range(30)}}, step)
os.kill(os.getpid(), 9)
"""


def test_rows_of_a_process_that_was_killed_are_logged_again(tmp_path):
    killed_after = 400  # several blocks of the file
    logger = WandbLogger(tmp_path, offline=True)
    logger.log_metrics({"loss": 2.0}, 0)
    logger.close()
    wandb.teardown()
    time.sleep(1.1)
    killed = [sys.executable, "-c", KILLED, str(tmp_path), "offline", str(1 + killed_after)]
    assert subprocess.run(killed, check=False).returncode == -9
    assert len([*tmp_path.glob("wandb/offline-run-*")]) == 2
    time.sleep(1.1)
    logger = WandbLogger(tmp_path, offline=True)
    for step in range(killed_after + 5):
        logger.log_metrics({"loss": 2.0}, step)
    logger.close()
    wandb.teardown()
    first, second = read_offline(tmp_path)
    assert first.steps + second.steps == list(range(killed_after + 5))
    assert {row["loss"] for row in first.history + second.history} == {2.0}


def test_a_server_says_how_many_rows_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with wandb_server() as received:
        monkeypatch.setenv("WANDB_BASE_URL", received.address)
        wandb.teardown()  # it has read the environment before
        for rows in (3, 6):
            logger = WandbLogger(tmp_path)
            for step in range(rows):
                logger.log_metrics({"loss": 1 / (step + 1)}, 10 * step)
            logger.close()
            wandb.teardown()
    assert [row["_step"] for row in received.history] == list(range(6))
    assert [row["trainer/global_step"] for row in received.history] == [0, 10, 20, 30, 40, 50]
    assert json.loads((tmp_path / "wandb.json").read_text())["rows"] == 6
    assert os.environ.get("WANDB_MODE") is None


@pytest.mark.parametrize("failing", ["log_metrics", "log_hyperparams", "summarize", "show", "keep"])
def test_after_an_error_nothing_more_is_logged_and_one_warning_says_so(tmp_path, monkeypatch, caplog, failing):
    broken = Broken()
    monkeypatch.setattr(wandb, "init", lambda **options: broken)
    logger = WandbLogger(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    calls = {
        "log_metrics": lambda: logger.log_metrics({"loss": 1.0}, 0),
        "log_hyperparams": lambda: logger.log_hyperparams({"seed": 0}),
        "summarize": lambda: logger.summarize({"split_digest": "abc"}),
        "show": lambda: logger.show({"figure": Figure()}, {}),
        "keep": lambda: logger.keep(tmp_path / "last.ckpt", {}, "last"),
    }
    with caplog.at_level(logging.WARNING):
        calls[failing]()
        for call in calls.values():
            call()
    assert len(caplog.records) == 1
    assert "the run continues without it" in caplog.text
    assert len([name for name in broken.calls if name != "define_metric"]) <= 1


def test_an_end_that_times_out_is_a_warning(tmp_path, monkeypatch, caplog):
    broken = Broken()
    monkeypatch.setattr(wandb, "init", lambda **options: broken)
    logger = WandbLogger(tmp_path)
    assert logger.experiment is broken
    logger.close()
    assert broken.calls[-1] == "finish"
    assert "finish got no answer" in caplog.text


def test_without_a_server_the_run_is_kept_offline_under_the_same_id(tmp_path, monkeypatch, caplog):
    asked = []

    def init(**options):
        asked.append({**options, "settings": dict(options["settings"])})
        if "mode" not in options["settings"]:
            raise wandb.errors.CommError("connection refused")
        broken = Broken()
        broken.offline = True
        return broken

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    WandbLogger(tmp_path).log_hyperparams({})
    assert [options["settings"].get("mode") for options in asked] == [None, "offline"]
    assert asked[0]["id"] == asked[1]["id"]
    assert "connection refused" in caplog.text
    assert "wandb sync" in caplog.text


def test_where_nothing_works_there_is_no_run(tmp_path, monkeypatch, caplog):
    def init(**options):
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb, "init", init)
    logger = WandbLogger(tmp_path, offline=True)
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.close()
    assert len(caplog.records) == 1
    assert "no space left" in caplog.text


def test_the_waits_are_bounded(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(wandb, "init", lambda **options: asked.update(options) or Broken())
    WandbLogger(tmp_path, init_timeout=7, finish_timeout=11).log_metrics({}, 0)
    assert (asked["settings"]["init_timeout"], asked["settings"]["finish_timeout"]) == (7, 11)
    assert asked["settings"]["disable_git"]  # a remote's address may hold a password


def test_a_run_of_an_agent_has_the_agent_s_id(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "agent1")
    assert WandbLogger(tmp_path).version != "agent1"  # set for something else
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert WandbLogger(tmp_path).version == "agent1"
    assert WandbLogger(tmp_path, id="mine").version == "mine"


def test_of_several_processes_the_first_one_logs(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = WandbLogger(tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.log_hyperparams({"seed": 0})
    logger.show({"figure": Figure()}, {})
    logger.close()
    assert not begun
    assert not [*tmp_path.iterdir()]


class Logging(BoringModel):
    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).mean()
        self.log("loss", loss)
        return loss


def test_a_trainer_of_lightning_takes_it(tmp_path):
    options = {"max_steps": 2, "accelerator": "cpu", "enable_progress_bar": False, "enable_checkpointing": False}
    logger = WandbLogger(tmp_path, offline=True, name="boring", notes="n", tags=["a"], prefix="mine")
    trainer = pl.Trainer(logger=logger, log_every_n_steps=1, enable_model_summary=False, **options)
    trainer.fit(Logging())
    logger.close()
    wandb.teardown()
    (record,) = read_offline(tmp_path)
    assert (record.run.display_name, record.run.notes, list(record.run.tags)) == ("boring", "n", ["a"])
    assert [step for step, row in record.scalars() if "mine-loss" in row] == [0, 1]


def test_an_option_that_nobody_has_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"logger\.wandb has no entitty"):
        WandbLogger(tmp_path, entitty="team")
