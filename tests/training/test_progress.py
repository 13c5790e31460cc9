from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from oponm.training import progress, run
from oponm.training.progress import TrainingProgress
from tests.training import small


def shown(tmp_path, monkeypatch, terminal: bool = True, epochs: int = 6) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=160)
    monkeypatch.setattr(run, "TrainingProgress", lambda plan: TrainingProgress(plan, console))
    monkeypatch.setattr(progress, "RATE_EVERY", 0.0)
    small.run(tmp_path, epochs=epochs)
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.getvalue())


def test_the_bar_tells_how_training_goes(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    text = shown(tmp_path, monkeypatch)
    assert "instance 1/6" in text
    assert "class_balanced+noise 6/6" in text
    assert re.search(r"loss \d\.\d{3} accuracy \d+\.\d% noise 0%", text)
    assert re.search(r"noise [1-9]\d?%", text)
    assert re.search(r"[\d,]+ images/s", text)


@pytest.mark.parametrize(("terminal", "ci"), [(False, ""), (True, "true")])
def test_it_is_quiet_elsewhere(tmp_path, monkeypatch, terminal, ci):
    monkeypatch.setenv("CI", ci)
    assert shown(tmp_path, monkeypatch, terminal, epochs=2).strip() == ""
