"""What Weights & Biases has written down of a run: its files are logs of records, in LevelDB's format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7
_WHOLE, _LAST = 1, 4


def logged_rows(folder: Path, id: str) -> int:
    """How many rows of a run's history are on disk without a gap, counted from 0, over all processes that wrote some.

    A process that was killed may have logged more than reached the disk.

    Args:
        folder: of the run.
        id: of the Weights & Biases run.

    Example:
        >>> logged_rows(Path("nowhere"), "3f0c")
        0
    """
    found = set()
    for file in folder.glob(f"wandb/*run-*-{id}/run-{id}.wandb"):
        for record in read_records(file):
            if record.WhichOneof("record_type") == "history":
                found |= {
                    int(json.loads(item.value_json))
                    for item in record.history.item
                    if (item.key or "/".join(item.nested_key)) == "_step"
                }
    rows = 0
    while rows in found:
        rows += 1
    return rows


def read_records(file: Path) -> Iterator[Any]:
    """The records of one file, up to where its process was killed, if it was.

    Args:
        file: ``run-<id>.wandb``.

    Yields:
        ``wandb_internal_pb2.Record``.
    """
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
