from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources.file_names import FileNames

PATHS = [Path("b/1.jpg"), Path("a b/é.jpg"), Path(os.fsdecode(b"c/\xff.jpg")), Path("b/1.jpg")]


@pytest.mark.parametrize("root", [None, Path(), Path("photos"), Path("/"), Path("/sets/photos")], ids=str)
def test_paths_come_back(root):
    names, expected = FileNames.of(PATHS, root), [(root or Path()) / path for path in PATHS]
    assert len(names) == 4
    assert [*names] == [names[row] for row in range(4)] == expected
    assert [*names.strings()] == [str(path) for path in expected]
    assert names[-1] == expected[-1]
    assert names[np.int64(1)] == expected[1]
    assert all(isinstance(path, Path) for path in names)


@pytest.mark.parametrize("which", [np.array([2, 0, 2]), np.array([], dtype=np.int64), slice(1, 3)], ids=str)
def test_some_may_be_picked(which):
    picked = FileNames.of(PATHS, Path("photos"))[which]
    assert [*picked] == [Path("photos") / path for path in np.array(PATHS, dtype=object)[which]]


def test_what_is_compact_stays_as_it_is():
    names = FileNames.of(np.array(PATHS, dtype=object))
    assert FileNames.of(names) is names


def test_processes_are_sent_a_text_and_no_objects():
    names = FileNames.of((Path(f"train/{i % 7}/{i:06}.jpg") for i in range(10_000)), Path("photos"))
    sent = pickle.dumps(names)
    assert len(sent) < 10_000 * (len("train/0/000000.jpg") + 12) + 1000
    assert [*pickle.loads(sent)] == [*names]
