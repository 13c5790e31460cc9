"""Read what Weights & Biases wrote offline, a record at a time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oponm.dashboard.wandb_files import read_records

FLUSHED = 5.0  # seconds after which what a client has closed is taken for written


@dataclass
class Recorded:
    """What the records of one file say."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.history]

    def scalars(self) -> list[tuple[int, dict[str, float]]]:
        """Rows of numbers, as (step of training, values)."""
        kept = []
        for row in self.history:
            values = {name: value for name, value in row.items() if not name.startswith("_")}
            step = values.pop("trainer/global_step")
            if values and all(isinstance(value, int | float) for value in values.values()):
                kept.append((step, values))
        return kept


def read_offline(folder: Path) -> list[Recorded]:
    """What each offline run below a run's folder holds, in order; the last one may take a moment to reach the disk."""
    end = time.monotonic() + FLUSHED
    while True:
        found = [_read(file) for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
        if (found and found[-1].exit_code is not None) or time.monotonic() > end:
            return found
        time.sleep(0.2)


def _read(file: Path) -> Recorded:
    found = Recorded()
    for record in read_records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            _merge(found.config, _nested(record.run.config.update))
        elif kind == "config":
            _merge(found.config, _nested(record.config.update))
        elif kind == "history":
            found.history.append(_nested(record.history.item))
        elif kind == "summary":
            found.summary |= _nested(record.summary.update)
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "files":
            found.files += [each.path for each in record.files.files]
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _merge(into: dict[str, Any], update: dict[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _nested(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *above, last = list(item.nested_key) or [item.key]
        place = values
        for name in above:
            place = place.setdefault(name, {})
        place[last] = json.loads(item.value_json)
    return values
