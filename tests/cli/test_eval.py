from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.cli.command import files_below, oponm
from tests.cli.runs import CHECKPOINT, confusions, make_photos, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("eval"), "data.val=split", "data.val_size=3")


def result_of(folder: Path, *arguments: str, name: str) -> dict:
    checkpoint = [] if any(argument.startswith("checkpoint=") for argument in arguments) else [CHECKPOINT]
    given = [f"checkpoint={path}" for path in checkpoint]
    done = oponm("eval", *given, *arguments, f"output_dir=results/{name}", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "results" / name / "result.json").read_text())


def test_what_each_image_was_taken_for_is_the_run_s_own(folder):
    result_of(folder, name="again")
    result_of(folder, "folder=photos/test", name="below")
    expected = (folder / "run/test_predictions.csv").read_text()
    assert (folder / "results/again/test_predictions.csv").read_text() == expected
    assert (folder / "results/below/test_predictions.csv").read_text() == expected.replace("\ntest/", "\n")
    assert expected.count("\ntest/") == 21


MEASURED = ("metrics", "recall", "test_counts", "class_counts", "split_digest")


def test_the_test_folder_gives_the_figures_of_the_run_without_its_data(folder, tmp_path):
    expected = json.loads((folder / "run/result.json").read_text())
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes((folder / CHECKPOINT).read_bytes())
    found = [
        result_of(folder, name="test"),
        result_of(folder, "folder=photos/test", name="folder"),
        result_of(folder, f"checkpoint={alone}", "folder=photos/test", name="alone"),
    ]
    for result in found:
        assert {key: result[key] for key in MEASURED} == {key: expected[key] for key in MEASURED}
    for name in ("test", "folder", "alone"):
        assert confusions(folder / "results" / name) == confusions(folder / "run")
    assert found[1]["choices"]["data"] == "photos/test"
    assert [result["evaluated"] for result in found] == ["test", *[str((folder / "photos/test").resolve())] * 2]


def test_other_parts_of_the_data(folder):
    train, val = (result_of(folder, f"split={split}", name=split) for split in ("train", "val"))
    assert train["test_counts"] == train["class_counts"]
    assert val["test_counts"] == [3, 3, 3]
    assert (train["evaluated"], val["evaluated"]) == ("train", "val")


def test_a_folder_whose_name_means_something_to_hydra(folder):
    (folder / "new (2), a=1").mkdir()
    make_photos(folder / "new (2), a=1/photos", 2)
    assert result_of(folder, "folder=new (2), a=1/photos", name="odd")["test_counts"] == [2, 2, 2]


def refused(folder: Path, *arguments: str) -> str:
    before = files_below(folder)
    checkpoint = [] if any(argument.startswith("checkpoint=") for argument in arguments) else [CHECKPOINT]
    given = [f"checkpoint={path}" for path in checkpoint]
    done = oponm("eval", *given, *arguments, "output_dir=bad", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert files_below(folder) == before
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["split=dev"], "split must be one of test, val, train"),
        (["split=val", "data.val=none"], "split is val, and the run has no validation set"),
        (["folder=nowhere"], "folder is not a folder: nowhere"),
        (["folder=photos", "split=train"], "split is train, a part of the run's data"),
        (["folder=photos"], "does not know: test, train; it knows ants, bees, flies"),
        (["trust=perhaps"], "trust must be true or false"),
        (["model._target_=os.system"], "import os.system, code that is not part of oponm"),
        (["augmentation._target_=subprocess.run", "folder=photos/test"], "import subprocess.run"),
        (["checkpoint=nowhere.ckpt", "folder=photos/test"], "names no file"),
        (["folder=photos/test", "data.batch_size=0"], "batch_size"),
    ],
    ids=str,
)
def test_what_cannot_be(folder, arguments, words):
    assert words in refused(folder, *arguments)


def test_a_damaged_photograph_is_named_or_left_out(folder, tmp_path):
    photos = make_photos(tmp_path / "damaged", 3)
    (photos / "bees/1.jpg").write_text("no photograph")
    assert "bees/1.jpg" in refused(folder, f"folder={photos}")
    result = result_of(folder, f"folder={photos}", "data.on_error=skip", name="skipping")
    assert result["test_counts"] == [3, 2, 3]
    assert len(result["skipped_files"]) == 1


def test_settings_beside_a_checkpoint_run_no_code(folder, tmp_path):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes())
    marker = tmp_path / "executed"
    config = yaml.safe_load((folder / "run/config.yaml").read_text())
    for key, changed in (
        ("optimizer", {"_target_": "os.mkdir", "path": str(marker)}),
        ("model", {"_target_": "os.mkdir", "path": str(marker)}),
        ("loss", {"_target_": "torch.hub.load", "repo_or_dir": str(tmp_path), "model": "x", "source": "local"}),
        ("schedule", {"_target_": "functools.partial", "_args_": [{"_target_": "os.mkdir", "path": str(marker)}]}),
        ("hydra", {"launcher": {"_target_": "os.mkdir", "path": str(marker)}}),
    ):
        (tmp_path / "run/config.yaml").write_text(yaml.safe_dump({**config, key: changed}))
        (tmp_path / "run/overrides.yaml").write_text(yaml.safe_dump(["--config-dir=evil", "hydra/launcher=evil"]))
        done = oponm("eval", f"checkpoint={CHECKPOINT}", "output_dir=out", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert not marker.exists()


def test_a_checkpoint_of_an_older_version(folder):
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    del content["split"]["statistics"], content["model_config"]
    old = folder / "run/checkpoints/old.ckpt"
    torch.save(content, old)
    expected = json.loads((folder / "run/result.json").read_text())
    assert result_of(folder, f"checkpoint={old}", name="old")["metrics"] == expected["metrics"]
    assert "older version" in refused(folder, f"checkpoint={old}", "folder=photos/test")


def test_preprocessing_is_that_of_the_run_whatever_is_in_the_training_folder_now(tmp_path):
    make_run(tmp_path, "data.image_size=null", "data.val=split", "data.val_size=3")
    expected = json.loads((tmp_path / "run/result.json").read_text())
    rng = np.random.default_rng(0)
    for path in sorted((tmp_path / "photos/train").rglob("*.jpg")):
        pixels = rng.integers(0, 40, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "photos/train").joinpath("ants/new.jpg").write_bytes(path.read_bytes())
    done = oponm("eval", f"checkpoint={CHECKPOINT}", "output_dir=again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "again/result.json").read_text())
    same = ("metrics", "recall", "confusion_matrix", "class_counts", "test_digest", "noise_histogram")
    assert {key: found[key] for key in same} == {key: expected[key] for key in same}
    assert "normalized as in training" in done.stderr
    assert "the test images are not those of the run" not in done.stderr


def test_other_test_images_are_told_of(tmp_path):
    make_run(tmp_path)
    path = next((tmp_path / "photos/test").rglob("*.jpg"))
    Image.new("RGB", (20, 20), "teal").save(path)
    done = oponm("eval", f"checkpoint={CHECKPOINT}", "output_dir=again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the test images are not those of the run" in done.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A run on two classes, of which bees have fewer training images."""
    folder = tmp_path_factory.mktemp("two")
    make_photos(folder / "photos/train", 20, ["ants", "bees"])
    make_photos(folder / "photos/test", 30, ["ants", "bees"])
    done = oponm(
        *("train", "data=image_folder", "data.root=photos", "data.imbalance_ratio=4", "data.image_size=8"),
        *("trainer.max_epochs=6", "output_dir=run", "logger=none", "phase_cache=off", "method=erm"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_a_threshold_changes_decisions_and_no_probability(two):
    plain, low = result_of(two, name="plain"), result_of(two, "threshold=0.05", name="low")
    named = result_of(two, "threshold={ants: 0.95}", name="named")
    assert (low["threshold"], named["threshold"]) == (0.05, {"ants": 0.95})
    assert "threshold" not in plain
    rows = {}
    for name in ("plain", "low", "named"):
        with (two / f"results/{name}/test_predictions.csv").open(newline="") as file:
            rows[name] = list(csv.DictReader(file))
    assert [row["p_bees"] for row in rows["plain"]] == [row["p_bees"] for row in rows["low"]]
    decided = ["bees" if float(row["p_bees"]) >= 0.05 else "ants" for row in rows["plain"]]
    assert [row["prediction"] for row in rows["low"]] == decided
    assert decided != [row["prediction"] for row in rows["plain"]]
    right = [row["class"] == found for row, found in zip(rows["plain"], decided, strict=True)]
    assert low["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert [low["metrics"][name] for name in ("ece", "roc_auc")] == [
        plain["metrics"][name] for name in ("ece", "roc_auc")
    ]
    assert [row["prediction"] for row in rows["named"]] == [
        "ants" if float(row["p_ants"]) >= 0.95 else "bees" for row in rows["plain"]
    ]


def test_a_prior_changes_probabilities_and_not_their_order(two):
    plain, fair = result_of(two, name="plain 2"), result_of(two, "prior=balanced", name="fair")
    assert fair["prior"] == "balanced"
    assert fair["metrics"]["roc_auc"] == pytest.approx(plain["metrics"]["roc_auc"], abs=1e-3)
    assert fair["recall"][1] >= plain["recall"][1]
    assert fair["metrics"]["ece"] != plain["metrics"]["ece"]
    alone = result_of(two, "folder=photos/test", "prior=balanced", name="fair below")
    assert alone["metrics"] == fair["metrics"]
