from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources import file_lists
from oponm.data.sources.file_lists import read_list
from oponm.data.sources.list_lines import _parse, parse_lines, text_size
from oponm.errors import InputError

PIECES = [
    "a/1.jpg",
    "b",
    "/",
    "..",
    ".",
    " ",
    "\t",
    "\\",
    "\0",
    "é",
    "\u00a0",
    "\u3000",
    "1",
    "07",
    "-2",
    "9" * 12,
    "\x7f",
]


def one_by_one(text: str, num_classes: int) -> list[tuple[str, int]] | str:
    try:
        return [_parse(line, num_classes, f"list, line {number}") for number, line in enumerate(text.split("\n"), 1)]
    except InputError as error:
        return error.message


def at_once(text: str, num_classes: int) -> list[tuple[str, int]] | str:
    content = f"{text}\n".encode()
    try:
        starts, lengths, labels = parse_lines(content, 0, text_size(content), num_classes, 1, Path("list"))
    except InputError as error:
        return error.message
    names = [content[start : start + length].decode() for start, length in zip(starts, lengths, strict=True)]
    return list(zip(names, labels.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_lines_are_understood_and_refused_as_they_are_one_by_one(seed):
    random, accepted = np.random.default_rng(seed), 0
    for _ in range(600):
        lines = ["".join(random.choice(PIECES, random.integers(0, 5))) for _ in range(random.integers(1, 3))]
        lines = [line if random.random() < 0.3 else f"{line} {random.integers(0, 9)}" for line in lines]
        if text := "\n".join(lines):
            assert at_once(text, 8) == one_by_one(text, 8), repr(text)
            accepted += not isinstance(at_once(text, 8), str)
    assert 50 < accepted < 500


@pytest.mark.parametrize("label", [0, 7, 10, 123_456_789, 999_999_999, 1_000_000_000, 12_345_678_901])
def test_labels_of_any_length(label):
    text = f"a/1.jpg {label}\na/2.jpg 00000000000{label}"
    assert at_once(text, label + 1) == [("a/1.jpg", label), ("a/2.jpg", label)] == one_by_one(text, label + 1)
    assert at_once(text, label) == one_by_one(text, label)


@pytest.mark.parametrize("block", [1, 7, 20, 10**6])
def test_the_size_of_a_block_changes_nothing(tmp_path, monkeypatch, block):
    monkeypatch.setattr(file_lists, "_BLOCK", block)
    names = [f"train/{'é' * (i % 3)}{i % 7}/{i}.jpg" for i in range(50)]
    (tmp_path / "list.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    files, labels = read_list(tmp_path / "list.txt", tmp_path, 50)
    assert [*files] == [tmp_path / name for name in names]
    assert labels.tolist() == list(range(50))
    (tmp_path / "list.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)) + "\n")
    with pytest.raises(InputError, match="line 51: is not"):
        read_list(tmp_path / "list.txt", tmp_path, 50)
    with pytest.raises(InputError, match=r"line 41: label 40 lies outside \[0, 40\)"):
        read_list(tmp_path / "list.txt", tmp_path, 40)
