"""The lines of a list of images, parsed many at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oponm.errors import InputError

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_MOST_DIGITS = 9  # of labels that are read without Python
_NEWLINE, _SPACE, _DOT, _SLASH, _BACKSLASH, _ZERO, _NINE, _DELETE = b"\n ./\\09\x7f"


class Lines(NamedTuple):
    """What lines hold.

    Attributes:
        starts: where in the text each name begins, (N,), int64.
        lengths: of each name in bytes, (N,), int32.
        labels: (N,), int64.
    """

    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int64]


def text_size(text: bytes) -> int:
    r"""The length of a text without the newline at its end, if it has one.

    Example:
        >>> text_size(b"one\n"), text_size(b"one")
        (3, 3)
    """
    return len(text) - text.endswith(b"\n")


def parse_lines(text: bytes, begin: int, end: int, num_classes: int, number: int, path: Path) -> Lines:
    r"""Parse whole lines of ``<relative path> <label>``.

    Plain lines are parsed all at once; those that have anything odd, one by one, to be understood or refused.

    Args:
        text: UTF-8.
        begin: where in the text the first of the lines begins.
        end: where the last ends: behind its newline, or, for the last of the text, at :func:`text_size`.
        num_classes: labels lie in ``[0, num_classes)``.
        number: of the first line, for errors.
        path: of the list, for errors.

    Raises:
        InputError: naming list and line, for the first line that is malformed, has a label out of range, or a path that
            is absolute or goes through ``..``.

    Example:
        >>> parse_lines(b"cat/1.jpg 0\ndog/7.jpg 12", 0, 24, 20, 1, Path("train.txt"))
        Lines(starts=array([ 0, 12]), lengths=array([9, 9], dtype=int32), labels=array([ 0, 12]))
    """
    block = np.frombuffer(text, dtype=np.uint8, count=end - begin, offset=begin)
    stops = np.flatnonzero(block == _NEWLINE)
    if end == text_size(text):
        stops = np.append(stops, len(block))
    starts = np.concatenate([[0], stops[:-1] + 1])
    labels, separators = _trailing_numbers(block, starts, stops)
    first, before = block[starts.clip(max=len(block) - 1)], block[(separators - 1).clip(min=0)]
    plain = (separators > starts) & (labels < num_classes) & (first != _SLASH)
    plain &= _is_visible(first) & _is_visible(before) & (block[separators.clip(min=0)] == _SPACE)
    odd = (block == _BACKSLASH) | (block == 0)
    odd[1:] |= (block[1:] == _DOT) & (block[:-1] == _DOT)
    plain[np.searchsorted(stops, np.flatnonzero(odd))] = False

    lengths = separators - starts
    for row in np.flatnonzero(~plain).tolist():
        line = block[starts[row] : stops[row]].tobytes().decode()
        name, labels[row] = _parse(line, num_classes, f"{path}, line {number + row}")
        starts[row] += len(line[: line.index(name)].encode())
        lengths[row] = len(name.encode())
    return Lines(starts + begin, lengths.astype(np.int32), labels)


def _trailing_numbers(
    block: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers that lines end in, and the position before each; that of a line without one is below its start."""
    labels, position = np.zeros(len(stops), dtype=np.int64), stops - 1
    within = np.ones(len(stops), dtype=bool)
    for digit in range(_MOST_DIGITS):
        found = block[position.clip(min=0)]
        within &= (position >= starts) & (found >= _ZERO) & (found <= _NINE)
        labels += np.where(within, (found.astype(np.int64) - _ZERO) * 10**digit, 0)
        position -= within
    return labels, np.where(position == stops - 1, -1, position)


def _is_visible(characters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether they are ASCII, and neither space nor control; such never is cut off the ends of a line."""
    return (characters > _SPACE) & (characters < _DELETE)


def _parse(line: str, num_classes: int, where: str) -> tuple[str, int]:
    name, separator, label = line.strip().rpartition(" ")
    name = name.rstrip()
    if not separator or not _WHOLE_NUMBER.fullmatch(label) or "\\" in name or "\0" in name:
        raise InputError(f"{where}: is not '<relative path> <label>': {line[:80]!r}; mend the list")
    if name.startswith("/") or ".." in name.split("/"):
        raise InputError(f"{where}: {name} leaves the folder of images; paths are relative to it, without '..'")
    if not 0 <= int(label) < num_classes:
        raise InputError(f"{where}: label {label} lies outside [0, {num_classes}); mend the list")
    return name, int(label)
