from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data import DigitsLT, ImageFolderLT
from oponm.data.check import check_data
from oponm.data.decode import Form
from oponm.data.duplicates import shared_images
from oponm.data.sources.packed import PackedImages
from oponm.data.sources.prepare import Packing, scaled
from oponm.data.stream import StreamedImages
from oponm.errors import InputError


def photos(root: Path) -> Path:
    """Eight training images a class, of which two are test images too and one a validation image; all of one size."""
    random = np.random.default_rng(0)
    for part, number in (("train", 8), ("test", 4), ("val", 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for each in range(number):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{each}.bmp")
    for part, each in (("test", 0), ("test", 1), ("val", 2)):
        (root / part / "cat" / "0.bmp" if part == "val" else root / part / "cat" / f"{each}.bmp").write_bytes(
            (root / "train" / "cat" / f"{each}.bmp").read_bytes()
        )
    return root


def load(root: Path, **options) -> ImageFolderLT:
    data = ImageFolderLT(root, **options)
    data.setup()
    return data


@pytest.mark.parametrize("in_memory", [True, False])
def test_they_are_counted(tmp_path, caplog, in_memory):
    data = load(photos(tmp_path), val="split", in_memory=in_memory)
    found = "2 of 8 test images are in training too; 1 of 4 validation images is in training too"
    assert data.facts["duplicates"] == found
    assert [each.levelname for each in caplog.records if found in each.getMessage()] == ["WARNING"]
    assert data.class_counts == [8, 8]
    assert f"duplicates: {found}" in check_data(data).facts


@pytest.mark.parametrize("in_memory", [True, False])
def test_they_are_dropped_from_training(tmp_path, in_memory):
    before = load(photos(tmp_path), in_memory=in_memory)
    data = load(tmp_path, val="split", in_memory=in_memory, on_duplicate="drop")
    assert (data.class_counts, data.test_counts, data.val_counts) == ([5, 8], [4, 4], [2, 2])
    assert "the 3 training images were left out" in data.facts["duplicates"]
    assert data.test_digest == before.test_digest
    assert data.digest != before.digest
    assert not shared_images(data.train_set, data.test_set)[0].any()


def test_they_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 of 8 test images are in training too") as error:
        load(photos(tmp_path), on_duplicate="raise")
    assert error.value.key == "on_duplicate"
    with pytest.raises(InputError, match="on_duplicate must be one of warn, drop, raise"):
        DigitsLT(on_duplicate="ignore")


def test_none_is_said_too():
    data = DigitsLT(imbalance_ratio=50, on_duplicate="raise")
    data.setup()
    assert data.facts["duplicates"] == "none of 500 test images are in training too"


def test_files_of_one_length_and_end_are_read_whole(tmp_path):
    contents = [bytes(9000), b"x" + bytes(8999), bytes(9000), bytes(4000)]
    files = [tmp_path / f"{number}" for number in range(4)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    parts = (np.array(files[:2]), np.array(files[2:]))
    one, other = (StreamedImages(part, torch.zeros(2), Form(8), training=False) for part in parts)
    assert [mask.tolist() for mask in shared_images(one, other)] == [[True, False], [True, False]]


@pytest.mark.parametrize("in_memory", [True, False])
def test_digests_of_test_and_validation_sets_see_labels_and_pixels(tmp_path, in_memory):
    def digests(**options) -> tuple[str, str]:
        data = load(tmp_path, val="split", in_memory=in_memory, **options)
        return data.test_digest, data.val_digest

    photos(tmp_path)
    before = digests()
    assert before == digests(imbalance_ratio=2)
    Image.new("RGB", (8, 8)).save(tmp_path / "test" / "dog" / "0.bmp")  # in place
    after = digests()
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    (tmp_path / "val" / "dog" / "0.bmp").rename(tmp_path / "val" / "cat" / "9.bmp")
    assert digests()[1] != before[1]


def test_without_validation_there_is_no_digest_of_it():
    data = DigitsLT(imbalance_ratio=50)
    data.setup()
    assert data.val_digest == ""
    assert f"test digest {data.test_digest}" in check_data(data).facts


def test_packed_pixels_have_a_digest(tmp_path):
    folder = photos(tmp_path) / "train" / "cat"
    files = np.array([folder / f"{number}.bmp" for number in range(3)])
    packing = Packing(tmp_path / "pack", scaled(8), tmp_path, files)
    packing.make()

    def digest(at: list[int]) -> str:
        labels = torch.zeros(len(at), dtype=torch.int64)
        return PackedImages(
            packing.pack, packing.rows(files[at]), files[at], labels, Form(8), False, 0, True
        ).contents_digest()

    assert digest([0, 1]) == digest([0, 1]) != digest([0, 2])
