"""Folders of runs of the study, without the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.report.runs import result, store


def run(folder: Path, method: str, seed: int, accuracy: float, augmentation: str = "none", **changes: Any) -> None:
    """A finished run."""
    choices = {"experiment": f"study/{method}", "method": method, "data": "digits_lt", "model": "small_cnn"}
    metrics = {"accuracy": accuracy, "balanced_accuracy": accuracy, "many": accuracy, "few": accuracy / 2}
    facts = {"git_commit": "f" * 40, "versions": {"torch": "2.0"}, "reused": {"seconds": 8.0}, **changes}
    content = result(
        choices={**choices, "augmentation": augmentation},
        overrides=("data.imbalance_ratio=50", "trainer.max_epochs=20", "trainer.precision=32-true"),
        seed=seed,
        metrics=metrics,
        content_digest="0123456789abcdef" * 4,
        **facts,
    )
    store(folder / f"{augmentation}-{method}-{seed}", content)
