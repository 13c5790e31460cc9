"""Runs on a user's own images: who is in which part, and what each test image was taken for."""

from __future__ import annotations

import csv
import json
import warnings

import pytest
import torch
from PIL import Image

from oponm.data import DatasetLT, DigitsLT, ImageFolderLT, TableLT
from oponm.data.decode import Form, read_image
from oponm.errors import InputError
from oponm.logging import TensorBoardLogger
from oponm.longtail import SHOTS, THIRDS
from oponm.report import html_page, read_report
from oponm.report.notes import notes
from oponm.training import Run, fit
from tests.data.sources.test_image_folder import fill

COUNTS = {"cat": 12, "dog": 9}


def rows(file) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def train(data, folder, **options) -> Run:
    return fit(data, method="erm", max_epochs=1, output_dir=folder, accelerator="cpu", **options)


def test_each_test_image_stands_in_a_file_in_the_order_of_the_test_set(tmp_path):
    run = train(ImageFolderLT(fill(tmp_path / "photos", COUNTS)), tmp_path / "run")
    told = rows(tmp_path / "run/test_predictions.csv")
    tested = [row["path"] for row in rows(tmp_path / "run/split.csv") if row["part"] == "test"]
    assert [row["path"] for row in told] == tested
    assert all(row["path"].startswith(f"{row['class']}/") for row in told)
    right = sum(row["class"] == row["prediction"] for row in told)
    assert round(right / len(told), 6) == run.metrics["accuracy"]


def test_a_run_that_resumes_leaves_the_split_alone(tmp_path):
    data = DigitsLT(imbalance_ratio=50)
    train(data, tmp_path)
    (tmp_path / "result.json").unlink()
    (tmp_path / "split.csv").write_text("mine\n")
    train(data, tmp_path, resume=True)
    assert (tmp_path / "split.csv").read_text() == "mine\n"


def test_what_cannot_be_used_leaves_no_split(tmp_path):
    with pytest.raises(InputError):
        train(ImageFolderLT(fill(tmp_path / "photos", COUNTS), folds=50, fold=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("val", ["none", "split"])
def test_without_a_test_set_there_are_no_test_figures(tmp_path, val):
    data = ImageFolderLT(fill(tmp_path / "photos", COUNTS), test_fraction=0, val=val)
    logger = TensorBoardLogger(tmp_path / "logs")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        run = train(data, tmp_path / "run", loggers=logger)
    assert (run.metrics, run.recall, run.result["test_counts"]) == ({}, [None, None], [])
    assert run.result["data_facts"]["test"] == "no test set"
    assert "no test set" in repr(run)
    assert not (tmp_path / "run/test_predictions.csv").exists()
    assert not (tmp_path / "run/confusion_matrix.npz").exists()
    with pytest.raises(InputError, match="no test set") as error:
        run.evaluate(accelerator="cpu")
    assert error.value.key == "split"
    assert run.evaluate(split="train", accelerator="cpu")["metrics"]
    report = read_report([tmp_path / "run"])
    assert any(note.startswith("no test set, no test metrics: erm") for note in notes(report.groups))
    report.write(tmp_path / "report")


def test_a_run_resumes_on_the_same_fold_only(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    result = train(ImageFolderLT(root, folds=3, fold=0), tmp_path / "run").result
    assert result["cross_validation"]["fold"] == 0
    with pytest.raises(InputError, match="fold"):
        train(ImageFolderLT(root, folds=3, fold=1), tmp_path / "run", resume=True)


def test_a_report_pools_the_folds_of_a_setting(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    for seed in (0, 1):
        for fold in range(3):
            train(ImageFolderLT(root, folds=3, fold=fold), tmp_path / f"{seed}-{fold}", seed=seed)
    (group,) = read_report([tmp_path / f"0-{fold}" for fold in range(3)]).groups
    assert (group.name, group.folds, len(group.runs)) == ("erm", "3 folds", 3)
    (partial,) = read_report([tmp_path / f"0-{fold}" for fold in range(2)]).groups
    assert partial.folds == "2 of 3 folds"
    (both,) = read_report([tmp_path / f"{seed}-{fold}" for seed in (0, 1) for fold in range(3)]).groups
    assert (both.folds, len(both.by_seed("accuracy"))) == ("3 folds, 2 seeds", 6)
    fill(root, {"emu": 3})
    train(ImageFolderLT(root, folds=3, fold=0), tmp_path / "other")
    assert len(read_report([tmp_path / "0-0", tmp_path / "other"]).groups) == 2


def test_a_table_in_memory_trains(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    table = [{"path": str(file.relative_to(root)), "label": file.parent.name} for file in sorted(root.rglob("*.png"))]
    run = train(TableLT(table, root), tmp_path / "run")
    folder = train(ImageFolderLT(root), tmp_path / "folder")
    assert run.metrics == folder.metrics
    assert json.loads((tmp_path / "run/result.json").read_text())["choices"]["data"] == "table"


def shown(run: Run) -> set[str]:
    return run.metrics.keys() & {*SHOTS, *THIRDS}


def test_own_files_are_grouped_into_thirds_unless_thresholds_are_asked_for(tmp_path):
    data = ImageFolderLT(fill(tmp_path / "photos", {**COUNTS, "emu": 4}))
    run = train(data, tmp_path / "thirds")
    assert shown(run) == {*THIRDS}
    assert run.metrics["tail"] == run.recall[2]
    asked = train(data, tmp_path / "thresholds", shots={"few_under": 9})
    assert shown(asked) == {"medium", "few"}  # none has more than 100 images
    report = read_report([tmp_path])
    assert [group.name for group in report.groups] == ["erm", "erm shots.few_under=9"]


def test_two_classes_are_head_and_tail(tmp_path):
    assert shown(train(ImageFolderLT(fill(tmp_path / "photos", COUNTS)), tmp_path / "run")) == {"head", "tail"}


def test_other_data_keeps_thresholds_and_may_have_thirds(tmp_path):
    data = DigitsLT(imbalance_ratio=50)
    assert shown(train(data, tmp_path / "digits")) == {*SHOTS}
    thirds = {"many_over": None, "few_under": None}
    assert shown(train(data, tmp_path / "thirds", shots=thirds)) == {*THIRDS}
    images = [(torch.rand(1, 8, 8), number % 2) for number in range(40)]
    listed = train(DatasetLT(images, images), tmp_path / "datasets")
    assert shown(listed) == {"medium"}
    assert listed.result["choices"]["shots"] == "thresholds"


def test_a_run_of_before_is_evaluated_and_reported_by_its_thresholds(tmp_path):
    photos = fill(tmp_path / "photos", {**COUNTS, "emu": 4})
    train(ImageFolderLT(photos), tmp_path / "run", shots={"many_over": 100, "few_under": 20})
    result = json.loads((tmp_path / "run/result.json").read_text())
    del result["choices"]["shots"], result["precision"], result["test_counts"]
    (tmp_path / "run/result.json").write_text(json.dumps(result))
    (tmp_path / "run/test_predictions.csv").unlink()
    run = Run.load(tmp_path / "run")
    assert run.evaluate(photos, accelerator="cpu")["metrics"].keys() & {*SHOTS, *THIRDS} == {"few"}
    assert (tmp_path / "report") in {file.parent for file in read_report([tmp_path / "run"]).write(tmp_path / "report")}


def test_the_report_of_a_run_shows_its_mistakes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(ImageFolderLT(fill(tmp_path / "photos", COUNTS).relative_to(tmp_path)), tmp_path / "run")
    wrong = [row["path"] for row in rows(tmp_path / "run/test_predictions.csv") if row["class"] != row["prediction"]]
    assert wrong
    monkeypatch.chdir("/")
    page = html_page(*read_report([tmp_path / "run"]))
    assert page.count('<img src="data:image/') == len(wrong)
    assert all(f'<li title="{path}">' in page for path in wrong)


@pytest.mark.parametrize(
    "form", [{"resize": "stretch", "channels": 1}, {"resize": "pad", "image_size": (8, 12)}], ids=str
)
def test_images_have_one_form_in_training_and_after(tmp_path, form):
    root = fill(tmp_path / "photos", {"cat": 20, "dog": 20}, size=(20, 8))
    for number, file in enumerate(sorted(root.rglob("*.png"))):  # what is at the edges tells the classes apart
        with Image.open(file) as image:
            changed = image.convert("RGB")
        changed.paste((255, 255, 255), (0, 0, 3, 8) if file.parent.name == "cat" else (17, 0, 20, 8))
        changed.putpixel((10, 4), (number, 0, 0))
        changed.save(file)
    data = ImageFolderLT(root, test_fraction=0.5, **form)
    run = fit(data, "small_cnn", method="erm", max_epochs=12, output_dir=tmp_path / "run", accelerator="cpu")
    assert run.metrics["accuracy"] > 0.9
    known = Run.load(tmp_path / "run")
    assert (known.classifier.resize, known.classifier.image_shape) == (form["resize"], data.image_shape)
    told = rows(tmp_path / "run/test_predictions.csv")
    predicted = known.predict([root / row["path"] for row in told])
    assert [known.classifier.class_names[found.label] for found in predicted] == [row["prediction"] for row in told]
    for row in told:
        (tmp_path / "tested" / row["class"]).mkdir(parents=True, exist_ok=True)
        (root / row["path"]).rename(tmp_path / "tested" / row["path"])
    assert known.evaluate(tmp_path / "tested", accelerator="cpu")["metrics"] == run.metrics
    *_, card, file = known.export(tmp_path / "model.pt2", format="torch_export")
    taken = Form(data.image_shape[1:], resize=form["resize"], channels=data.image_shape[0])
    pixels = torch.stack([read_image(tmp_path / "tested" / row["path"], taken) for row in told])
    logits = torch.export.load(file).module()(pixels / 255)
    assert logits.argmax(1).tolist() == [found.label for found in predicted]
    words = {"stretch": "stretched to 8 pixels wide and 8 high", "pad": "fit into 12 pixels wide and 8 high"}
    assert words[form["resize"]] in card.read_text()
