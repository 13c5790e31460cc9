from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.inference import EvaluationFolder, Predictions, find_images, load_classifier
from oponm.training import LongTailModule, evaluate
from tests.inference.small import NAMES, photos, save


@pytest.fixture
def classifier(tmp_path):
    return load_classifier(save(tmp_path))


def measure(data, classifier):
    module = LongTailModule(classifier.network, class_counts=classifier.class_counts)
    return evaluate(module, data, accelerator="cpu")


def test_the_metrics_are_those_of_the_predictions(classifier, tmp_path):
    folder = photos(tmp_path / "photos", number=7)
    measured = measure(EvaluationFolder(folder, classifier, batch_size=4), classifier)
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    for prediction in Predictions(classifier, find_images([folder])[0]):
        confusion[NAMES.index(prediction.path.parent.name), prediction.label] += 1
    assert measured["confusion_matrix"].toarray().tolist() == confusion.tolist()
    assert measured["test_counts"] == [7, 7, 7]
    assert measured["class_counts"] == [100, 10, 2]
    assert measured["split_digest"] == "1" * 64


def test_classes_may_be_missing(classifier, tmp_path, caplog):
    folder = photos(tmp_path / "photos", ["ants", "flies"])
    measured = measure(EvaluationFolder(folder, classifier), classifier)
    assert measured["test_counts"] == [4, 0, 4]
    assert measured["recall"][1] is None
    present = [measured["recall"][0], measured["recall"][2]]
    assert measured["metrics"]["balanced_accuracy"] == pytest.approx(sum(present) / 2, abs=1e-6)
    assert "has no image of bees" in caplog.text


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ants", "wasps"], "classes that the checkpoint does not know: wasps; it knows ants, bees, flies"),
        ([], "holds no image in a folder named as a class"),
    ],
    ids=str,
)
def test_folders_that_do_not_fit(classifier, tmp_path, names, words):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=words):
        EvaluationFolder(photos(tmp_path / "photos", names), classifier)


def test_no_folder(classifier, tmp_path):
    with pytest.raises(InputError, match="folder is not a folder"):
        EvaluationFolder(tmp_path / "nowhere", classifier)


def test_files_that_cannot_be_read_are_named_or_left_out(classifier, tmp_path):
    folder = photos(tmp_path / "photos")
    (folder / "ants/notes.txt").write_text("six legs")
    with pytest.raises(InputError, match=r"ants/notes\.txt: is no image; remove it, or set data\.on_error=skip"):
        EvaluationFolder(folder, classifier)
    (folder / "bees/1.png").write_text("no image")
    data = EvaluationFolder(folder, classifier, on_error="skip")
    assert measure(data, classifier)["test_counts"] == [4, 3, 4]
    assert [line.split(": ")[0].rpartition("/")[2] for line in data.skipped] == ["notes.txt", "1.png"]
    (folder / "ants/notes.txt").unlink()
    with pytest.raises(InputError, match=r"bees/1\.png"):
        measure(EvaluationFolder(folder, classifier), classifier)
