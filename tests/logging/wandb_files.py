"""Read what Weights & Biases wrote offline, a record at a time."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7
_WHOLE, _LAST = 1, 4

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


def read_records(file: Path) -> Iterator[Any]:
    """The records of one file, in LevelDB's format, up to where its process was killed, if it was."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record

    for content in _parts_joined(file.read_bytes()):
        record = Record()
        try:
            record.ParseFromString(content)
        except DecodeError:
            return
        yield record


def _parts_joined(log: bytes) -> Iterator[bytes]:
    """Cut a log into records; one that a block has no room for goes on in the next."""
    place, record = _HEADER, b""  # the file begins with a mark of as many bytes
    while place + _HEADER <= len(log):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", log[place : place + _HEADER])
        place += _HEADER
        part = log[place : place + length]
        if len(part) < length or kind == 0:
            return
        place, record = place + length, record + part
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""
