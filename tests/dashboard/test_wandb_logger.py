from __future__ import annotations

import logging

import pytest
import wandb
from matplotlib.figure import Figure

from oponm.dashboard import WandbLogger
from tests.dashboard.wandb_files import read_offline


@pytest.fixture(autouse=True)
def outside_of_any_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


class Broken:
    """A run whose server, disk or service has gone."""

    offline, step = False, 0

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
    first, second = read_offline(tmp_path)
    assert first.run.run_id == second.run.run_id
    assert first.steps + second.steps == list(range(6))
    assert [step for step, _ in first.scalars() + second.scalars()] == [step for _, step in rows]
    assert (first.exit_code, second.exit_code) == (1, 0)


@pytest.mark.parametrize("failing", ["log_metrics", "log_hyperparams", "summarise", "show", "keep"])
def test_after_an_error_nothing_more_is_logged_and_one_warning_says_so(tmp_path, monkeypatch, caplog, failing):
    broken = Broken()
    monkeypatch.setattr(wandb, "init", lambda **options: broken)
    logger = WandbLogger(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    calls = {
        "log_metrics": lambda: logger.log_metrics({"loss": 1.0}, 0),
        "log_hyperparams": lambda: logger.log_hyperparams({"seed": 0}),
        "summarise": lambda: logger.summarise({"split_digest": "abc"}),
        "show": lambda: logger.show({"figure": Figure()}, {}),
        "keep": lambda: logger.keep(tmp_path / "last.ckpt", {}, "last"),
    }
    with caplog.at_level(logging.WARNING):
        calls[failing]()
        for call in calls.values():
            call()
    assert len(caplog.records) == 1
    assert "the run goes on without it" in caplog.text
    assert len([name for name in broken.calls if name != "define_metric"]) <= 1


def test_an_end_that_times_out_is_a_warning(tmp_path, monkeypatch, caplog):
    broken = Broken()
    monkeypatch.setattr(wandb, "init", lambda **options: broken)
    logger = WandbLogger(tmp_path)
    with logger._in_run():
        pass
    logger.close()
    assert broken.calls[-1] == "finish"
    assert "finish got no answer" in caplog.text


def test_without_a_server_the_run_is_kept_offline_under_the_same_id(tmp_path, monkeypatch, caplog):
    asked = []

    def init(**options):
        asked.append(options)
        if options["mode"] is None:
            raise wandb.errors.CommError("connection refused")
        broken = Broken()
        broken.offline = True
        return broken

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    WandbLogger(tmp_path).log_hyperparams({})
    assert [options["mode"] for options in asked] == [None, "offline"]
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
    assert (asked["settings"].init_timeout, asked["settings"].finish_timeout) == (7, 11)
    assert asked["settings"].disable_git  # a remote's address may hold a password


def test_a_run_of_an_agent_has_the_agent_s_id(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "agent1")
    assert WandbLogger(tmp_path).version != "agent1"  # set for something else
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert WandbLogger(tmp_path).version == "agent1"
    assert WandbLogger(tmp_path, id="mine").version == "mine"
