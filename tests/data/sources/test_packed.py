from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oponm.data import ImageFolderLT
from oponm.data.samplers import IndexBatch
from oponm.data.stream import StreamedImages
from oponm.errors import InputError
from tests.data.sources.packs import few_at_once, pictures

STREAM = {"in_memory": False, "statistics": "imagenet"}


@pytest.fixture(autouse=True)
def three_at_once(monkeypatch):
    few_at_once(monkeypatch)


def module(root: Path, **options) -> ImageFolderLT:
    return ImageFolderLT(root, **{"image_size": 8, "batch_size": 4, **options})


def load(root: Path, **options) -> ImageFolderLT:
    data = module(root, **options)
    data.setup()
    return data


def prepare(root: Path, **options) -> None:
    module(root, **options).load_source().packing.make()


def read(data: StreamedImages, epoch: int = 0, step: int = 0, rank: int = 0) -> torch.Tensor:
    return data.__getitems__(IndexBatch(torch.tensor([2, 1, 2]), epoch, step, rank)).images


def refusal(root: Path, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(root, **options)
    return error.value


@pytest.mark.parametrize(
    "options", [{}, {"val": "split", "val_size": 1}, {"imbalance_ratio": 2}, {"image_size": None}, {"on_error": "skip"}]
)
def test_in_memory_the_pixels_are_those_of_the_files(tmp_path, options):
    pictures(tmp_path / "set", 30, damaged=(5, 6) if "on_error" in options else ())
    prepare(tmp_path / "set", pack=tmp_path / "pack", **options)
    direct, packed = (load(tmp_path / "set", pack=pack, **options) for pack in (None, tmp_path / "pack"))
    for name in ("train_set", "test_set", "val_set"):
        ours, theirs = getattr(packed, name), getattr(direct, name)
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.targets, theirs.targets)
    assert (packed.digest, packed.content_digest) == (direct.digest, direct.content_digest)
    assert packed.statistics == direct.statistics
    assert packed.skipped == direct.skipped
    assert len(packed.skipped) == (2 if "on_error" in options else 0)


def test_in_memory_a_changed_pixel_is_refused(tmp_path):
    pictures(tmp_path / "set")
    prepare(tmp_path / "set", pack=tmp_path / "pack")
    images = tmp_path / "pack/images.bin"
    images.write_bytes(images.read_bytes()[:-1] + b"\0")
    error = refusal(tmp_path / "set", pack=tmp_path / "pack")
    assert error.key == "pack"
    assert "images.bin is damaged" in error.message


@pytest.mark.parametrize("pack_size", [None, 50])
def test_crops_from_a_pack_are_those_from_the_files(tmp_path, pack_size):
    pictures(tmp_path / "set", 20)
    options = STREAM | {"pack_size": pack_size}
    prepare(tmp_path / "set", pack=tmp_path / "pack", **options)
    direct, packed = (load(tmp_path / "set", pack=pack, **options) for pack in (None, tmp_path / "pack"))
    for identity in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)):
        assert torch.equal(read(packed.train_set, *identity), read(direct.train_set, *identity))
    assert not torch.equal(read(packed.train_set), read(packed.train_set, 1))
    assert not torch.equal(read(packed.train_set), read(packed.train_set, rank=1))
    assert torch.equal(read(packed.test_set), read(direct.test_set))
    assert torch.equal(packed.train_set.targets, direct.train_set.targets)


def test_smaller_images_change_the_crops_and_the_digest(tmp_path):
    pictures(tmp_path / "set", 20)
    loaded = []
    for pack_size in (8, 9):
        options = STREAM | {"pack_size": pack_size, "pack": tmp_path / f"{pack_size}"}
        prepare(tmp_path / "set", **options)
        loaded.append(load(tmp_path / "set", **options))
    assert loaded[0].digest == loaded[1].digest
    assert len({data.content_digest for data in (*loaded, load(tmp_path / "set", **STREAM))}) == 3
    assert not torch.equal(read(loaded[0].train_set), read(loaded[1].train_set))


def test_the_number_of_workers_changes_nothing(tmp_path):
    pictures(tmp_path / "set", 20)
    prepare(tmp_path / "set", pack=tmp_path / "pack", **STREAM)
    batches = []
    for workers in (0, 2):
        data = load(tmp_path / "set", pack=tmp_path / "pack", num_workers=workers, **STREAM)
        batches.append([raw.images for raw in data._loader("train_set", steps(len(data.train_set)))])
        data.teardown()
    assert len(batches[0]) > 2
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def steps(number: int) -> list[IndexBatch]:
    return [IndexBatch(part, 0, step) for step, part in enumerate(torch.arange(number).split(4))]


def test_from_a_pack_files_can_be_skipped_while_streaming(tmp_path):
    files = pictures(tmp_path / "set", 30, damaged=(3, 9, 25))
    options = STREAM | {"pack": tmp_path / "pack", "on_error": "skip"}
    prepare(tmp_path / "set", **options)
    data = load(tmp_path / "set", **options)
    assert sum(data.class_counts) + sum(data.test_counts) == 27
    assert sorted(line.split(":")[0] for line in data.skipped) == [str(files[index]) for index in (3, 9, 25)]
    assert not any("on_error" in line for line in data.skipped)
    in_memory = load(tmp_path / "set", on_error="skip")
    assert (data.digest, data.class_counts) == (in_memory.digest, in_memory.class_counts)
    for raw in data._loader("test_set", steps(len(data.test_set))):
        assert raw.images.shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("options", [STREAM, {}], ids=["streamed", "in memory"])
def test_a_damaged_file_is_named_where_none_is_skipped(tmp_path, options):
    files = pictures(tmp_path / "set", 30, damaged=(3,))
    prepare(tmp_path / "set", pack=tmp_path / "pack", on_error="skip", **options)
    assert refusal(tmp_path / "set", pack=tmp_path / "pack", **options).message.startswith(f"{files[3]}: is no image")
    files[3].unlink()
    load(tmp_path / "set", pack=tmp_path / "pack", **options)


@pytest.mark.parametrize(("made", "used"), [({}, STREAM), (STREAM, {}), ({}, {"image_size": 9}), ({}, {"root": "b"})])
def test_a_pack_of_other_settings_is_refused(tmp_path, made, used):
    for root in "ab":
        pictures(tmp_path / root, 12)
    prepare(tmp_path / "a", pack=tmp_path / "pack", **made)
    options = {key: value for key, value in used.items() if key != "root"}
    error = refusal(tmp_path / used.get("root", "a"), pack=tmp_path / "pack", **options)
    assert error.key == "pack"
    assert "oponm data prepare" in error.message


def test_images_may_not_be_packed_smaller_than_they_are_wanted(tmp_path):
    pictures(tmp_path / "set")
    error = refusal(tmp_path / "set", pack=tmp_path / "pack", pack_size=7, **STREAM)
    assert (error.key, "at least 8" in error.message) == ("pack_size", True)


@pytest.mark.parametrize("value", [0, 3, "256", True, 7.5])
def test_a_bad_size_is_refused_at_once(value):
    with pytest.raises(InputError) as error:
        ImageFolderLT("nowhere", pack_size=value)
    assert error.value.key == "pack_size"


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pictures(tmp_path / "set")
    prepare(tmp_path / "set", pack="~/pack")
    assert (tmp_path / "pack/images.bin").stat().st_size == 14 * 3 * 8 * 8
    assert load(tmp_path / "set", pack="~/pack").image_shape == (3, 8, 8)


@pytest.mark.parametrize("options", [{}, STREAM, {**STREAM, "pack": "pack"}], ids=["in memory", "files", "pack"])
def test_some_images_of_a_set_are_those_of_the_whole(tmp_path, options):
    pictures(tmp_path / "set", 20)
    if "pack" in options:
        prepare(tmp_path / "set", **(options := {**options, "pack": tmp_path / "pack"}))
    whole = load(tmp_path / "set", **options).test_set
    before = whole.contents_digest()
    some = whole.only(np.array([2, 0]))
    one, other = (
        images.__getitems__(IndexBatch(at, 0, 0))
        for images, at in ((some, torch.arange(2)), (whole, torch.tensor([2, 0])))
    )
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.targets, other.targets)
    assert (len(some), some.contents_digest() != before, whole.contents_digest()) == (2, True, before)
