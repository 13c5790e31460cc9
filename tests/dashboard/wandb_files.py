"""Read what Weights & Biases wrote offline: its log of records, in LevelDB's format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768


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
    """What each offline run below a run's folder holds, in order."""
    return [_read(file) for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def _read(file: Path) -> Recorded:
    found = Recorded()
    for record in _records(file.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= _nested(record.run.config.update)
        elif kind == "config":
            found.config |= _nested(record.config.update)
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


def _nested(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *above, last = list(item.nested_key) or [item.key]
        place = values
        for name in above:
            place = place.setdefault(name, {})
        place[last] = json.loads(item.value_json)
    return values


def _records(content: bytes) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    place, part = 7, b""  # behind the magic number and the version
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        part += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(part)
            yield record
            part = b""
