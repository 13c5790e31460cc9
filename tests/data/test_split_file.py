from __future__ import annotations

import os

import pytest

from oponm.data import DigitsLT
from oponm.data.split_file import read_split, write_split
from oponm.errors import InputError


def test_images_that_are_in_no_file_go_by_their_index(tmp_path):
    data = DigitsLT(imbalance_ratio=50, val="split")
    data.setup()
    write_split(tmp_path, data)
    head, *lines = (tmp_path / "split.csv").read_text().split()
    assert head == "index,class,part"
    assert sorted(int(line.split(",")[0]) for line in lines) == list(range(1797))
    numbers = {part: sum(line.endswith(f",{part}") for line in lines) for part in ("train", "val", "test")}
    assert numbers == {"train": sum(data.class_counts), "val": sum(data.val_counts), "test": 500}
    assert [line.split(",")[0] for line in lines if line.endswith(",test")] == data.test_names()[1]


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    data = DigitsLT(imbalance_ratio=50)
    data.setup()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_split(tmp_path, data)
    assert not list(tmp_path.iterdir())


def test_a_path_that_stands_there_twice_is_named(tmp_path):
    (tmp_path / "split.csv").write_text("path,part\n1.jpg,train\n1.jpg,test\n")
    with pytest.raises(InputError, match=r"line 3: names 1.jpg a second time"):
        read_split(tmp_path / "split.csv")
