from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, load_npz, save_npz

from oponm.metrics import Confusions, read_confusion, write_confusion
from oponm.metrics.confusion import CONFUSION_FILE, sparse_matrix
from tests.metrics.answers import answers, confusion_of


def test_batches_add_up_to_the_matrix():
    logits, targets = answers(10)
    confusions = Confusions(10)
    for part, labels in zip(logits.split(70), targets.split(70), strict=True):
        confusions.update(part, labels)
    expected = confusion_of(targets.tolist(), logits.argmax(1).tolist(), 10)
    assert sparse_matrix(confusions.compute(), 10).toarray().tolist() == expected.tolist()
    confusions.reset()
    assert confusions.compute().shape == (0, 3)
    assert sparse_matrix(confusions.compute(), 10).sum() == 0


def test_the_file_is_scipy_s(tmp_path):
    matrix = csr_array(np.array([[5, 0, 1], [0, 0, 0], [2, 0, 7]]))
    assert write_confusion(tmp_path, matrix) == "confusion_matrix.npz"
    assert load_npz(tmp_path / CONFUSION_FILE).toarray().tolist() == matrix.toarray().tolist()
    assert [path.name for path in tmp_path.iterdir()] == [CONFUSION_FILE]
    assert write_confusion(tmp_path, None) is None
    assert not list(tmp_path.iterdir())


def test_many_classes_take_little_room(tmp_path):
    classes = torch.arange(4000)
    write_confusion(tmp_path, sparse_matrix(torch.stack([classes, classes.roll(1), classes + 1], 1), 4000))
    assert (tmp_path / CONFUSION_FILE).stat().st_size < 100_000


def test_results_of_older_versions_hold_the_matrix_itself(tmp_path):
    assert read_confusion(tmp_path, [[3, 1], [0, 4]]).toarray().tolist() == [[3, 1], [0, 4]]
    assert read_confusion(tmp_path, None) is None


@pytest.mark.parametrize("said", ["../elsewhere.npz", [[1, 2]], [[1, 2], [3]], [["1"]], {"a": 1}, [[-1]], 3])
def test_what_is_no_matrix(tmp_path, said):
    save_npz(tmp_path.parent / "elsewhere.npz", csr_array(np.eye(2)))
    with pytest.raises(ValueError, match="confusion"):
        read_confusion(tmp_path, said)


@pytest.mark.parametrize("content", [b"", b"PK", b"nothing"])
def test_a_damaged_file(tmp_path, content):
    (tmp_path / CONFUSION_FILE).write_bytes(content)
    with pytest.raises(ValueError, match="holds no confusion matrix"):
        read_confusion(tmp_path, CONFUSION_FILE)
    (tmp_path / CONFUSION_FILE).unlink()
    with pytest.raises(FileNotFoundError):
        read_confusion(tmp_path, CONFUSION_FILE)


def test_nothing_in_the_file_is_executed(tmp_path):
    np.savez(tmp_path / CONFUSION_FILE, data=np.array([print], dtype=object), format=np.array("csr"))
    with pytest.raises(ValueError, match="holds no confusion matrix"):
        read_confusion(tmp_path, CONFUSION_FILE)
