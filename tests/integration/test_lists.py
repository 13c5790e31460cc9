"""Data sets given by published lists, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from oponm.configs import CONF_DIR
from tests.cli.command import files_below, oponm

TRAIN = ["train", "data=places_lt", "data.root=places", "output_dir=run"]
QUICK = ["data.verify=false", "data.image_size=8", "model=resnet32", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    """The layout of Places-LT with 365 scenes: two training images of the first 10, one of the others."""
    folder = tmp_path_factory.mktemp("lists")
    for part, split in (("train", "train"), ("val", "train"), ("test", "val")):
        lines = []
        for label in range(365):
            for number in range(2 if part == "train" and label < 10 else 1):
                lines.append(f"{split}/scene_{label}/{part}_{number}.jpg {label}\n")
                path = folder / "places" / lines[-1].split()[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (label % 256, 10 * number, 90)).save(path)
        (folder / f"places/Places_LT_{part}.txt").write_text("".join(lines))
    return folder


def check_refused(folder: Path, arguments: list[str], *words: str) -> None:
    before = files_below(folder)
    done = oponm(*arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("oponm: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert files_below(folder) == before


def test_a_run_on_lists(places, tmp_path):
    arguments = ["train", "data=places_lt", f"data.root={places / 'places'}", "output_dir=run", "data.val=split"]
    done = oponm(*arguments, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["class_names"] == [f"scene_{label}" for label in range(365)]
    assert result["class_counts"] == [2] * 10 + [1] * 355


def test_lists_other_than_those_published(places):
    words = ["Places_LT_train.txt", "expected md5 e7795ab1bf428a89f900854127b1e556", "data.verify=false"]
    check_refused(places, TRAIN, *words)


def test_missing_images(places, tmp_path):
    (tmp_path / "places").mkdir()
    arguments = [*TRAIN, *QUICK, f"data.lists={places / 'places'}"]
    check_refused(tmp_path, arguments, "375 of 375 images are missing", "scene_0/train_1.jpg", "Places365-Standard")


@pytest.mark.parametrize(
    ("line", "words"),
    [("../../secret.jpg 0", "leaves"), ("train/a/1.jpg 365", "outside [0, 365)"), ("train/a/1.jpg", "<relative path>")],
)
def test_a_line_that_cannot_be_used(tmp_path, line, words):
    (tmp_path / "places").mkdir()
    (tmp_path / "places/Places_LT_train.txt").write_text(f"train/a/0.jpg 0\n{line}\n")
    check_refused(tmp_path, [*TRAIN, *QUICK], "Places_LT_train.txt, line 2: ", words)


@pytest.mark.parametrize(
    ("choice", "folder"),
    [
        ("imagenet_lt", "ImageNet"),
        ("places_lt", "Places"),
        ("celeba5", "CelebA"),
        ("inaturalist2018", "iNaturalist2018"),
    ],
)
def test_images_are_looked_for_below_one_folder(tmp_path, monkeypatch, choice, folder):
    for base, value in (("data", None), ("/sets", "/sets")):
        monkeypatch.delenv("OPONM_DATA", raising=False) if value is None else monkeypatch.setenv("OPONM_DATA", value)
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose("train", [f"data={choice}", f"output_dir={tmp_path}"])
        assert config.data.root == f"{base}/{folder}"


def test_a_missing_folder(tmp_path):
    check_refused(tmp_path, ["train", "data=imagenet_lt", "output_dir=run"], "data.root is not a folder: data/ImageNet")


def test_an_unknown_variant_and_a_missing_attribute_file(tmp_path):
    arguments = ["train", "data=celeba5", "data.root=.", "output_dir=run"]
    check_refused(tmp_path, [*arguments, "data.variant=dirty"], "data.variant", "published, clean")
    check_refused(tmp_path, arguments, "list_attr_celeba.txt: cannot be read")


def test_check_tells_all_that_is_missing(places, tmp_path):
    (tmp_path / "lists").mkdir()
    for part in ("train", "test"):
        content = (places / f"places/Places_LT_{part}.txt").read_text()
        (tmp_path / f"lists/Places_LT_{part}.txt").write_text(content)
    before = files_below(tmp_path)
    arguments = ["data", "check", "data=places_lt", f"data.root={places / 'places'}", "data.lists=lists"]
    (places / "places/val/scene_7/test_0.jpg").rename(places / "aside.jpg")
    try:
        done = oponm(*arguments, cwd=tmp_path)
    finally:
        (places / "aside.jpg").rename(places / "places/val/scene_7/test_0.jpg")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Places_LT_train.txt: expected md5" in done.stderr
    assert "(and 3 more, above)" in done.stderr
    for words in (
        "training list: lists/Places_LT_train.txt: expected md5 e7795ab1bf428a89f900854127b1e556",
        "training images: all 375 are there",
        "validation list: lists/Places_LT_val.txt: is missing",
        "test list: lists/Places_LT_test.txt: expected md5",
        "test images: 1 of 365 images are missing",
    ):
        assert words in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["class", "training", "test"] in rows
    assert ["scene_3", "2", "1"] in rows
    assert ["all", "375", "365"] in rows
    assert files_below(tmp_path) == before


def test_check_tells_of_the_pack_too(places, tmp_path):
    arguments = ["data=places_lt", f"data.root={places / 'places'}", "data.verify=false", "data.image_size=8"]
    done = oponm("data", "check", *arguments, "data.pack=pack", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "data.pack names no pack that can be read: pack (the folder has no pack)" in done.stderr
    assert "training images: all 375 are there" in done.stdout
    assert ["scene_3", "2", "1", "1"] in [line.split() for line in done.stdout.splitlines()]
