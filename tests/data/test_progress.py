from __future__ import annotations

import io

import pytest
from rich.console import Console

from oponm.data import progress


@pytest.mark.parametrize(
    ("terminal", "ci", "bar"), [(True, "", True), (True, "true", False), (False, "", False), (False, "true", False)]
)
def test_bars_are_for_terminals_that_are_not_of_a_ci(monkeypatch, terminal, ci, bar):
    monkeypatch.setenv("CI", ci)
    text = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=text, force_terminal=terminal))
    assert list(progress.track(range(3), 3, "packing")) == [0, 1, 2]
    assert ("packing" in text.getvalue()) is bar
