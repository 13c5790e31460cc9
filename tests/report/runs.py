"""Run folders as training leaves them, without the training."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml


@contextmanager
def published(folder: Path, *lines: Mapping[str, str]) -> Iterator[None]:
    """A table of published figures in place of ours."""
    with (folder / "published.csv").open("w", newline="") as file, pytest.MonkeyPatch.context() as patch:
        writer = csv.DictWriter(file, dict.fromkeys(["note", "minus", *(key for line in lines for key in line)]))
        writer.writeheader()
        writer.writerows(lines)
        file.flush()
        patch.setattr("oponm.report.published.FILE", folder / "published.csv")
        yield


def accuracy(method: str, value: float, source: str = "paper") -> dict[str, str]:
    """A line of the table."""
    return {"source": source, "figure": "accuracy", "value": str(value), "method": method}


def result(method: str = "erm", seed: int = 0, overrides: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    return {
        "choices": {"method": method, "data": "digits_lt"},
        "overrides": [f"method={method}", f"seed={seed}", *overrides],
        "seed": seed,
        "metrics": {"accuracy": 0.8, "balanced_accuracy": 0.7, "many": 0.9, "medium": 0.6, "few": 0.3},
        "recall": [0.9, 0.5],
        "class_counts": [100, 10],
        "class_names": ["a", "b"],
        "train_seconds": 2.0,
        **changes,
    }


def store(folder: Path, content: Any = None) -> Path:
    """A run's folder; of one that is not finished without content. Its config holds what the content chooses."""
    folder.mkdir(parents=True)
    known = content if isinstance(content, dict) else {}
    chosen = known.get("choices") if isinstance(known.get("choices"), dict) else {}
    said = known.get("overrides") if isinstance(known.get("overrides"), list) else []
    config = {"method": "open", "data": "digits_lt", **chosen}
    config |= dict(override.lstrip("+").partition("=")[::2] for override in said)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if content is not None:
        (folder / "result.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def full_result(method: str, seed: int = 0, classes: int = 10, **changes: Any) -> dict[str, Any]:
    """All that a run may tell, drawn at random for the method and seed."""
    random = np.random.default_rng([seed, *method.encode()])
    recall = random.uniform(np.linspace(0.9, 0.2, classes), 1)
    matrix = [
        random.multinomial(50, np.where(np.arange(classes) == i, r, (1 - r) / (classes - 1)))
        for i, r in enumerate(recall)
    ]
    recall = np.array([row[i] / 50 for i, row in enumerate(matrix)])
    thirds = np.array_split(recall, 3)
    metrics = {"accuracy": recall.mean(), "balanced_accuracy": recall.mean(), "macro_f1": recall.mean() - 0.01}
    metrics |= {name: part.mean() for name, part in zip(("many", "medium", "few"), thirds, strict=True)}
    content = {
        "metrics": {name: round(float(value), 6) for name, value in metrics.items()},
        "recall": recall.tolist(),
        "class_counts": [max(1, int(500 * 0.01 ** (label / (classes - 1)))) for label in range(classes)],
        "class_names": [f"class {label}" for label in range(classes)],
        "test_counts": [50] * classes,
        "content_digest": f"{classes:08d}" * 8,
        "confusion_matrix": [row.tolist() for row in matrix],
        "noise_histogram": random.multinomial(1000, [1 / classes] * classes).tolist(),
        "phases": [{"name": "instance", "start": 0}, {"name": "class_balanced", "start": 8}],
    }
    return result(method, seed, **{**content, **changes})


def store_full(folder: Path, content: dict[str, Any], epochs: int = 10) -> Path:
    """A run's folder with its curves."""
    lines = ["epoch,lr,noise_share,step,test/accuracy,train/accuracy,train/loss"]
    lines += [
        f"{epoch},0.1,{0.2 * (epoch > 7)},{epoch},,{1 - 0.5 / (epoch + 1)},{2 / (epoch + 1)}" for epoch in range(epochs)
    ]
    store(folder, content)
    (folder / "metrics.csv").write_text("\n".join([*lines, f"{epochs},,,{epochs},0.5,,"]) + "\n")
    return folder
