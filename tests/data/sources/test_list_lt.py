from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data.samplers import IndexBatch
from oponm.data.sources.list_lt import ImageNetLT, INaturalist2018, ListLT, PlacesLT, PublishedLists
from oponm.errors import InputError

KINDS = [ImageNetLT, PlacesLT]
COUNTS = {"train": [6, 3, 1], "val": [2, 2, 2], "test": [3, 3, 3]}


def paths(kind: type[ListLT], part: str) -> list[tuple[str, int]]:
    """As published: the validation list takes training images, the test list those of the folder val."""
    folder, ending = "val" if part == "test" else "train", "JPEG" if kind is ImageNetLT else "jpg"
    number = {"train": 0, "val": 100, "test": 200}[part]
    names = ("n01440764", "n01443537", "n01484850") if kind is ImageNetLT else ("airfield", "alcove", "arena-rodeo")
    return [
        (f"{folder}/{names[label]}/{number + i:08}.{ending}", label)
        for label, count in enumerate(COUNTS[part])
        for i in range(count)
    ]


def shrunk(published: PublishedLists, folder: Path) -> PublishedLists:
    parts = {}
    for name in ("train", "val", "test"):
        part = getattr(published, name)
        content = (folder / part.file).read_bytes()
        prefix = b"blob %d\0" % len(content) if len(part.digest) == 40 else b""
        digest = hashlib.new("sha1" if prefix else "md5", prefix + content).hexdigest()
        parts[name] = replace(part, digest=digest, num_images=sum(COUNTS[name]))
    return replace(published, num_classes=3, **parts)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request, tmp_path, monkeypatch) -> type[ListLT]:
    """A data set in the official layout below ``tmp_path``: red tells the class, green the number of the image."""
    for part in COUNTS:
        listed = paths(request.param, part)
        path = tmp_path / getattr(request.param.published, part).file
        path.write_text("".join(f"{file} {label}\n" for file, label in listed))
        for file, label in listed:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            number = int(Path(file).stem)
            Image.new("RGB", (20, 16), (50 * label, number, 100)).save(tmp_path / file, quality=100, subsampling=0)
    monkeypatch.setattr(request.param, "published", shrunk(request.param.published, tmp_path))
    return request.param


def load(kind: type[ListLT], root: Path, **options) -> ListLT:
    data = kind(root, **({"image_size": 8} | options))
    data.setup()
    return data


def refusal(kind: type[ListLT], root: Path, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(kind, root, **options)
    assert "\n" not in str(error.value)
    return error.value


def test_what_was_published():
    facts = {
        kind: [(part.file, part.num_images, part.digest) for part in (lists.train, lists.val, lists.test)]
        for kind, lists in ((kind, kind.published) for kind in KINDS)
    }
    assert facts[ImageNetLT] == [
        ("ImageNet_LT_train.txt", 115_846, "a063f095fcd475db4cf8b0658c4b73955535bbf9"),
        ("ImageNet_LT_val.txt", 20_000, "ef44f8e43fbc904809a77216042e7498"),
        ("ImageNet_LT_test.txt", 50_000, "5f5f97c738923e877c5c78accce6744f"),
    ]
    assert facts[PlacesLT] == [
        ("Places_LT_train.txt", 62_500, "e7795ab1bf428a89f900854127b1e556"),
        ("Places_LT_val.txt", 7_300, "2f6e727cd6c99c7b7fdecc9876875b1b"),
        ("Places_LT_test.txt", 36_500, "1347af35b053bd31cf782256306affe7"),
    ]
    assert [kind.published.num_classes for kind in KINDS] == [1000, 365]
    assert [kind("nowhere").image_size for kind in KINDS] == [224, 224]


def test_the_lists_are_taken_as_they_are(kind, tmp_path):
    data = load(kind, tmp_path, val="split")
    assert (data.class_counts, data.val_counts, data.test_counts) == tuple(COUNTS.values())
    assert data.class_names == [Path(file).parent.name for file, _ in paths(kind, "val")[::2]]
    assert data.image_shape == (3, 8, 8)
    for part, images, targets in (
        ("train", data.train_set.images, data.train_set.targets),
        ("val", data.val_set.images, data.val_set.targets),
        ("test", data.test_set.images, data.test_set.targets),
    ):
        listed = paths(kind, part)
        assert targets.tolist() == [label for _, label in listed]
        for image, (file, label) in zip(images, listed, strict=True):
            red, green, _ = image[:, 4, 4].tolist()
            assert abs(red - 50 * label) <= 3
            assert abs(green - int(Path(file).stem)) <= 3


def test_streams_name_their_files(kind, tmp_path):
    source = kind(tmp_path).load_source()
    for part, pool in (("train", source.train), ("val", source.val), ("test", source.test)):
        images, kept = pool.stream(np.arange(len(pool.labels)), training=False, seed=0)
        assert [*images.files] == [tmp_path / file for file, _ in paths(kind, part)]
        assert kept.tolist() == list(range(len(images)))


def test_another_tail_can_be_drawn(kind, tmp_path):
    assert load(kind, tmp_path, imbalance_ratio=1, draw="m2m").class_counts == [1, 1, 1]


def test_lists_may_lie_elsewhere(kind, tmp_path):
    (tmp_path / "lists").mkdir()
    for path in tmp_path.glob("*.txt"):
        path.rename(tmp_path / "lists" / path.name)
    assert load(kind, tmp_path, lists=tmp_path / "lists").class_counts == COUNTS["train"]
    error = refusal(kind, tmp_path)
    assert error.message.startswith(f"{tmp_path / kind.published.train.file}: is missing")
    assert "data.lists" in error.message
    assert "https://github.com/zhmiao/OpenLongTailRecognition-OLTR" in error.message
    assert refusal(kind, tmp_path, lists=tmp_path / "none").key == "lists"
    assert refusal(kind, tmp_path / "none", lists=tmp_path / "lists").key == "root"


@pytest.mark.parametrize("part", COUNTS)
def test_a_changed_list_is_refused_unless_told(kind, tmp_path, part):
    path = tmp_path / getattr(kind.published, part).file
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[::-1]))
    message = refusal(kind, tmp_path).message
    assert message.startswith(f"{path}: expected ")
    assert getattr(kind.published, part).digest in message
    assert "data.verify=false" in message
    assert load(kind, tmp_path, verify=False).class_counts == COUNTS["train"]


@pytest.mark.parametrize("part", COUNTS)
def test_another_number_of_images_is_refused_unless_told(kind, tmp_path, monkeypatch, part):
    published = kind.published
    more = replace(getattr(published, part), num_images=99)
    monkeypatch.setattr(kind, "published", replace(published, **{part: more}))
    message = refusal(kind, tmp_path).message
    assert f"{more.file}: has {sum(COUNTS[part])} images, 99 were published" in message
    assert "data.verify=false" in message
    assert load(kind, tmp_path, verify=False).class_counts == COUNTS["train"]


@pytest.mark.parametrize("part", COUNTS)
def test_missing_images_say_where_they_come_from(kind, tmp_path, part):
    listed = [tmp_path / file for file, _ in paths(kind, part)]
    for file in listed[1:6]:
        file.unlink()
    message = refusal(kind, tmp_path, on_error="skip").message
    assert message.startswith(f"5 of {len(listed)} images are missing: {listed[1]}, {listed[2]}, {listed[3]}, ...; ")
    assert getattr(kind.published, part).archive in message
    assert "val sorted into class folders" in message
    assert "data.root" in message


def test_archives():
    lists = ImageNetLT.published
    archives = [part.archive for part in (lists.train, lists.val, lists.test)]
    assert archives == ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"]
    assert "places365standard_easyformat.tar" in PlacesLT.published.test.archive


def test_a_line_that_cannot_be_used_is_named(kind, tmp_path):
    path = tmp_path / kind.published.val.file
    path.write_text(path.read_text() + "../secret.jpg 0\n")
    assert f"{path}, line 7: ../secret.jpg leaves" in refusal(kind, tmp_path, verify=False).message
    path.write_text("train/a/1.jpg 3\n")
    assert f"{path}, line 1: label 3 lies outside [0, 3)" in refusal(kind, tmp_path, verify=False).message


def test_a_class_folder_that_is_a_link_to_elsewhere_is_named(kind, tmp_path):
    folder = (tmp_path / paths(kind, "test")[0][0]).parent
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    folder.rename(elsewhere := tmp_path.parent / "elsewhere" / f"{kind.__name__}{tmp_path.name}")
    folder.symlink_to(elsewhere)
    assert f"{kind.published.test.file}, line 1: " in (message := refusal(kind, tmp_path).message)
    assert "symbolic link" in message


def test_a_class_without_training_images_is_named(kind, tmp_path):
    path = tmp_path / kind.published.train.file
    path.write_text("".join(f"{file} {label}\n" for file, label in paths(kind, "train") if label != 1))
    assert f"{path}: names no image of label 1" in refusal(kind, tmp_path, verify=False).message


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_damaged_image_is_named_or_skipped(kind, tmp_path, on_error):
    path = tmp_path / paths(kind, "train")[1][0]
    path.write_text("no pixels")
    if on_error == "raise":
        assert refusal(kind, tmp_path).message.startswith(str(path))
    else:
        data = load(kind, tmp_path, on_error="skip")
        assert data.class_counts == [5, 3, 1]
        assert [str(path) in line for line in data.skipped] == [True]


@pytest.mark.parametrize(
    ("key", "value"), [("image_size", 3), ("image_size", None), ("on_error", "ignore"), ("verify", "no")]
)
@pytest.mark.parametrize("kind_of_lists", KINDS)
def test_bad_settings_are_refused_at_once(kind_of_lists, key, value):
    with pytest.raises(InputError) as error:
        kind_of_lists("nowhere", **{key: value})
    assert error.value.key == key


def test_the_home_folder_is_understood(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert load(kind, f"~/{tmp_path.name}", lists=f"~/{tmp_path.name}").class_counts == COUNTS["train"]


def test_a_pack_holds_all_three_lists_and_training_reads_it(kind, tmp_path):
    options = {"pack": tmp_path / "pack", "in_memory": False, "statistics": "imagenet", "val": "split"}
    (tmp_path / paths(kind, "train")[1][0]).write_text("no pixels")
    source = kind(tmp_path, image_size=8, on_error="skip", **options).load_source()
    assert len(source.packing.make().entries) == sum(sum(counts) for counts in COUNTS.values())
    data = load(kind, tmp_path, on_error="skip", **options)
    assert (data.class_counts, data.val_counts, data.test_counts) == ([5, 3, 1], COUNTS["val"], COUNTS["test"])
    assert len(data.skipped) == 1
    direct = load(kind, tmp_path, on_error="skip", val="split")
    images = data.test_set.__getitems__(IndexBatch(torch.arange(9), 0, 0)).images
    assert torch.equal(images, direct.test_set.images)
    assert "names no pack" in refusal(kind, tmp_path, on_error="skip", **options | {"pack": tmp_path}).message


def test_a_survey_of_what_is_complete(kind, tmp_path):
    survey = kind(tmp_path).survey()
    assert survey.problems == []
    assert survey.counts == {"training": COUNTS["train"], "validation": COUNTS["val"], "test": COUNTS["test"]}
    assert survey.class_names == load(kind, tmp_path).class_names
    for part in (kind.published.train, kind.published.val, kind.published.test):
        told = f" {part.digest}, as published"
        assert any(f"{tmp_path / part.file}, " in line and told in line for line in survey.findings)
    assert "test images: all 9 are there" in survey.findings
    assert not any("as published" in line for line in kind(tmp_path, verify=False).survey().findings)


def test_a_survey_tells_all_that_is_wrong(kind, tmp_path):
    lists = kind.published
    (tmp_path / lists.val.file).unlink()
    changed = (tmp_path / lists.test.file).read_text().splitlines(keepends=True)[:-2]
    (tmp_path / lists.test.file).write_text("".join(changed))
    for file, _ in paths(kind, "train")[:4] + paths(kind, "test")[:3]:
        (tmp_path / file).unlink()
    survey = kind(tmp_path).survey()
    assert survey.counts == {"training": COUNTS["train"], "test": [3, 3, 1]}
    messages = [error.message for error in survey.problems]
    assert len(messages) == 4
    assert messages[0].startswith("4 of 10 images are missing: ")
    assert messages[1].startswith(f"{tmp_path / lists.val.file}: is missing")
    assert f"expected md5 {lists.test.digest}" in messages[2]
    assert messages[3].startswith("3 of 7 images are missing: ")
    assert [line for line in survey.findings if line.startswith("training list: ") and "as published" in line]


def test_a_survey_without_a_folder_or_classes(kind, tmp_path):
    survey = kind(tmp_path / "none", lists=tmp_path).survey()
    assert survey.problems[0].key == "root"
    assert survey.counts["test"] == COUNTS["test"]
    assert len(survey.problems) == 4
    path = tmp_path / kind.published.train.file
    path.write_text("".join(f"{file} {label}\n" for file, label in paths(kind, "train") if label != 1))
    survey = kind(tmp_path, verify=False).survey()
    assert [error.message.split(";")[0] for error in survey.problems] == [f"{path}: names no image of label 1"]
    assert survey.counts["training"] == [6, 0, 1]
    path.write_text("nonsense")
    survey = kind(tmp_path).survey()
    assert all(word in error.message for word, error in zip(("expected", "line 1"), survey.problems, strict=True))
    assert "training" not in survey.counts


@pytest.mark.parametrize("key", ["root", "lists", "pack"])
def test_an_empty_path_is_refused(key):
    with pytest.raises(InputError, match=f"{key} is empty: name a file or folder") as error:
        PlacesLT(**{"root": "photos", key: ""})
    assert error.value.key == key


def test_inaturalist_tests_on_its_validation_list(tmp_path, monkeypatch):
    published = INaturalist2018.published
    assert (published.train.num_images, published.test.num_images, published.num_classes) == (437_513, 24_426, 8142)
    counts, parts = {"train": [8, 4, 2], "test": [3, 3, 3]}, {}
    for part, own in counts.items():
        lines = []
        for label, (kingdom, count) in enumerate(zip(("Aves", "Fungi", "Plantae"), own, strict=True)):
            for number in range(count):
                lines.append(f"train_val2018/{kingdom}/{label}/{part}{number}.jpg {label}\n")
                file = tmp_path / lines[-1].split()[0]
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (10, 8), (80 * label, 60 if part == "test" else 0, 20 * number)).save(file)
        file = tmp_path / getattr(published, part).file
        file.write_text("".join(lines))
        content = file.read_bytes()
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        parts[part] = replace(getattr(published, part), digest=digest, num_images=sum(own))
    monkeypatch.setattr(INaturalist2018, "published", replace(published, num_classes=3, **parts))
    data = load(INaturalist2018, tmp_path)
    assert (data.class_names, data.class_counts, data.test_counts) == (["0", "1", "2"], [8, 4, 2], [3, 3, 3])
    assert data.val_counts == []
    validated = load(INaturalist2018, tmp_path, val="split", val_size=1)
    assert (validated.class_counts, validated.val_counts) == ([7, 3, 1], [1, 1, 1])
    assert validated.facts["validation"] == "held out of the training images"
    parts["train"] = replace(parts["train"], num_images=15)
    monkeypatch.setattr(INaturalist2018, "published", replace(published, num_classes=3, **parts))
    assert "has 14 images, 15 were published" in str(refusal(INaturalist2018, tmp_path))
    (tmp_path / parts["test"].file).unlink()
    assert "linked from https://github.com/facebookresearch" in str(data.survey().problems[-1])
