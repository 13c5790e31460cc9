from __future__ import annotations

import csv
import json

import pytest
import torch
from PIL import Image

from oponm.data.decode import Form, read_image
from oponm.inference import Predictions, find_images, load_classifier
from oponm.inference.images import true_classes
from oponm.inference.predict import write_csv, write_json
from tests.inference.small import NAMES, checkpoint, photos, save


@pytest.fixture
def classifier(tmp_path):
    return load_classifier(save(tmp_path))


@pytest.fixture
def files(tmp_path):
    return find_images([photos(tmp_path / "photos")])[0]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_predictions_do_not_depend_on_the_batches(classifier, files, batch_size):
    expected = torch.cat([classifier.probabilities(read_image(file, Form(8))[None]) for file in files])
    found = list(Predictions(classifier, files, batch_size))
    assert [prediction.path for prediction in found] == files
    assert [prediction.label for prediction in found] == expected.argmax(1).tolist()
    torch.testing.assert_close(torch.tensor([p.probabilities for p in found]), expected, atol=1e-6, rtol=0)


def test_a_damaged_file_is_skipped_and_listed(classifier, files):
    files[0].write_bytes(files[0].read_bytes()[:50])
    predictions = Predictions(classifier, files, batch_size=1)
    assert [prediction.path for prediction in predictions] == files[1:]
    assert len(predictions.skipped) == 1
    assert str(files[0]) in predictions.skipped[0]
    assert sum(predictions.counts) == len(files) - 1


def test_csv_and_json_say_the_same(classifier, files, tmp_path):
    files[3].write_text("no image")
    write_csv(tmp_path / "p.csv", Predictions(classifier, files))
    write_json(tmp_path / "p.json", Predictions(classifier, files))
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    content = json.loads((tmp_path / "p.json").read_text())
    assert list(rows[0]) == ["path", "prediction", "probability", "p_ants", "p_bees", "p_flies"]
    assert content["class_names"] == NAMES
    assert len(content["skipped"]) == 1
    assert len(rows) == len(content["images"]) == 11
    for row, image in zip(rows, content["images"], strict=True):
        assert (row["path"], row["prediction"]) == (image["path"], image["prediction"])
        by_class = {name: float(row[f"p_{name}"]) for name in NAMES}
        assert by_class == image["probabilities"]
        assert float(row["probability"]) == max(by_class.values()) == by_class[row["prediction"]]
        assert sum(by_class.values()) == pytest.approx(1, abs=1e-5)


def test_names_that_are_no_utf_8(classifier, files, tmp_path):
    odd = files[0].rename(files[0].parent / "caf\udce9.png")
    write_csv(tmp_path / "p.csv", Predictions(classifier, [odd]))
    write_json(tmp_path / "p.json", Predictions(classifier, [odd]))
    assert b"caf\xe9.png" in (tmp_path / "p.csv").read_bytes()
    assert b"caf\xe9.png" in (tmp_path / "p.json").read_bytes()


def test_white_is_that_of_the_training_images(tmp_path):
    content = checkpoint()
    content["split"]["pixel_max"] = 4095
    trained, plain = (load_classifier(save(tmp_path, each, name)) for each, name in ((content, "a"), (None, "b")))
    assert (trained.pixel_max, plain.pixel_max) == (4095, None)
    Image.new("I;16", (8, 8), 800).save(tmp_path / "dark.png")
    Image.new("L", (8, 8), 800 * 256 // 4096).save(tmp_path / "the_same.png")
    Image.new("I;16", (8, 8), 9000).save(tmp_path / "beyond.png")
    predictions = Predictions(trained, [tmp_path / "dark.png", tmp_path / "the_same.png", tmp_path / "beyond.png"])
    one, other = predictions
    assert one.probabilities == other.probabilities
    assert "holds values up to 9000, but 4095 is the value of white" in predictions.skipped[0]


def test_the_true_class_is_that_of_the_folder(classifier, tmp_path):
    ants, other = (tmp_path / name for name in ("ants", "other"))
    for folder in (ants, other):
        folder.mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (80 * number, 9, 9)).save(folder / f"{number}.png")
    paths = [tmp_path, ants, other]
    truth = true_classes(paths, NAMES)
    assert {file.parts[len(tmp_path.parts)] for file in truth} == {"ants"}
    assert set(truth.values()) == {"ants"}
    predictions = Predictions(classifier, find_images(paths)[0], truth=truth)
    write_csv(tmp_path / "p.csv", predictions)
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    known = [row for row in rows if row["class"]]
    assert len(known) == predictions.told == len(rows) // 2
    assert predictions.right == sum(row["class"] == row["prediction"] for row in known)
    write_json(tmp_path / "p.json", Predictions(classifier, find_images(paths)[0], truth=truth))
    listed = json.loads((tmp_path / "p.json").read_text())["images"]
    assert [image.get("class", "") for image in listed] == [row["class"] for row in rows]
