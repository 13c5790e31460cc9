from __future__ import annotations

import csv
import io
import re
from itertools import groupby

import pytest
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console

from oponm.training.callbacks import EpochLines, TrainingProgress, progress
from oponm.training.module import LongTailModule
from tests.training import small

MEASURED = re.compile(
    r"(?P<epoch>\d+)/\d+ .*?loss (?P<loss>\d+\.\d{3}) accuracy (?P<accuracy>[\d.]+)% noise (?P<noise>\d+)%"
)


def shown(tmp_path, monkeypatch, terminal: bool = True, epochs: int = 6, every: float = 0.0) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=160)
    monkeypatch.setattr(progress, "LOOK_EVERY", every)
    small.run(tmp_path, epochs=epochs, loggers=logger(tmp_path), callbacks=[TrainingProgress(console)])
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.getvalue())


def logger(tmp_path):
    return [CSVLogger(tmp_path, name="", version="")]


def logged(tmp_path) -> list[tuple[float, float, float]]:
    rows = [row for row in csv.DictReader((tmp_path / "metrics.csv").open()) if row["train/loss"]]
    return [tuple(float(row[name]) for name in ("train/loss", "train/accuracy", "noise_share")) for row in rows]


def numbers(found: re.Match[str]) -> tuple[float, float, float]:
    return float(found["loss"]), float(found["accuracy"]) / 100, float(found["noise"]) / 100


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["at each step", "at the end of an epoch alone"])
def test_each_epoch_ends_with_its_own_figures(tmp_path, monkeypatch, every):
    monkeypatch.delenv("CI", raising=False)
    text = shown(tmp_path, monkeypatch, every=every)
    expected = logged(tmp_path)
    assert len({loss for loss, _, _ in expected}) == len(expected) == 6
    last = {found["epoch"]: numbers(found) for found in MEASURED.finditer(text)}
    assert list(last) == [str(epoch) for epoch in range(1, 7)]
    for found, known in zip(last.values(), expected, strict=True):
        assert found[0] == pytest.approx(known[0], abs=6e-4)
        assert found[1] == pytest.approx(known[1], abs=6e-4)
        assert found[2] == pytest.approx(known[2], abs=6e-3)


def test_figures_run_with_the_epoch(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    text = shown(tmp_path, monkeypatch, epochs=2)
    by_epoch = {
        epoch: [numbers(found)[0] for found in each]
        for epoch, each in groupby(MEASURED.finditer(text), lambda found: found["epoch"])
    }
    assert len(set(by_epoch["1"])) > 2  # after one step, after two, ...
    assert re.search(r"[\d,]+ images/s", text)
    assert "instance 1/2" in text
    assert "class_balanced+noise 2/2" in text


@pytest.mark.parametrize(("every", "terminal", "looks"), [(1e9, True, 6), (1e9, False, 0), (0.0, False, 0)])
def test_the_device_is_not_asked_at_each_step(tmp_path, monkeypatch, every, terminal, looks):
    monkeypatch.delenv("CI", raising=False)
    asked = []
    so_far = LongTailModule.so_far
    monkeypatch.setattr(LongTailModule, "so_far", lambda module: asked.append(1) or so_far(module))
    shown(tmp_path, monkeypatch, terminal, every=every)
    assert len(asked) == looks


@pytest.mark.parametrize(("terminal", "ci"), [(False, ""), (True, "true")])
def test_it_is_quiet_elsewhere(tmp_path, monkeypatch, terminal, ci):
    monkeypatch.setenv("CI", ci)
    assert shown(tmp_path, monkeypatch, terminal, epochs=2).strip() == ""


LINE = re.compile(
    r"epoch (?P<epoch>\d+)/6 (?P<phase>\S+) loss (?P<loss>[\d.]+) accuracy (?P<accuracy>[\d.]+)% (?P<validation>.*%)? ?"
    r"lr 0\.1 noise (?P<noise>\d+)% [\d,]+ images/s \d:\d\d:\d\d left"
)


def test_without_a_terminal_a_line_tells_of_each_epoch(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    small.run(tmp_path, epochs=6, loggers=logger(tmp_path), callbacks=[EpochLines()])
    lines = [LINE.fullmatch(line) for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert [line["epoch"] for line in lines] == list("123456")
    assert [line["phase"] for line in lines] == 3 * ["instance"] + 3 * ["class_balanced+noise"]
    for line, known in zip(lines, logged(tmp_path), strict=True):
        assert numbers(line) == pytest.approx(known, abs=6e-3)


def test_lines_are_few_where_epochs_are_short_and_the_log_has_all(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setattr(progress, "LINE_EVERY", 1e9)
    with caplog.at_level("INFO", logger="oponm.training.callbacks.progress"):
        small.run(tmp_path, epochs=6, callbacks=[EpochLines()])
    assert "epoch" not in capsys.readouterr().err
    assert len([record for record in caplog.records if record.message.startswith("epoch")]) == 6


def test_a_line_of_a_sweep_names_its_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    (tmp_path / "multirun.yaml").touch()
    small.run(tmp_path / "seed=1", callbacks=[EpochLines()])
    assert all(line.startswith("seed=1: epoch ") for line in capsys.readouterr().err.splitlines() if "loss" in line)
