"""Folders of runs of the study, without the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.methods import COMMANDS
from tests.report.runs import result, store


def run(folder: Path, method: str, seed: int, accuracy: float, augmentation: str = "none", **changes: Any) -> None:
    """A finished run."""
    (said,) = (said for said, name in COMMANDS.items() if name == method)
    chosen = dict(one.split("=") for one in said)
    choices = {"method": chosen["method"], "data": "digits_lt", "model": "small_cnn", "augmentation": augmentation}
    metrics = {"accuracy": accuracy, "balanced_accuracy": accuracy, "many": accuracy, "few": accuracy / 2}
    facts = {"git_commit": "f" * 40, "versions": {"torch": "2.0"}, "reused": {"seconds": 8.0}, **changes}
    facts = {"choices": choices, "metrics": metrics, "content_digest": "0123456789abcdef" * 4, **facts}
    overrides = (*sorted(said), "data.imbalance_ratio=50", "trainer.max_epochs=20", "trainer.precision=32-true")
    content = result(chosen["method"], seed, tuple(dict.fromkeys(overrides)), **facts)
    store(folder / f"{augmentation}-{method}-{seed}", content)
