from __future__ import annotations

import functools
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data.samplers import IndexBatch
from oponm.data.sources import celeba
from oponm.data.sources.celeba import CLASSES, TRAIN_COUNTS, CelebA5, celeba5_split, read_attributes
from oponm.errors import InputError

COUNTS = (4, 9, 6, 8, 3)
OTHERS = ["5_o_Clock_Shadow", "Bangs", "Male"]
HEADER = [OTHERS[0], "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Male"]


def members(counts=COUNTS, extra: int = 0) -> np.ndarray:
    """One label an image, class by class, with an image of none between; enough for the counts and some more."""
    rows = [row for label, count in enumerate(counts) for row in [np.eye(5)[label]] * (150 + count + extra)]
    return np.array([row for pair in zip(rows, np.zeros((len(rows), 5)), strict=True) for row in pair], dtype=bool)


def with_twins() -> np.ndarray:
    """Two images more before all: both bald, and black or blond besides."""
    attributes = np.concatenate([np.zeros((2, 5), dtype=bool), members(extra=2)])
    attributes[0, [0, 1]] = attributes[1, [0, 2]] = True
    return attributes


def write(root: Path, attributes: np.ndarray, images: bool = True) -> Path:
    """In the official format; the picture of an image is grey by its id, in the size of the aligned faces."""
    root.mkdir(exist_ok=True)
    columns = {name: attributes[:, label] for label, name in enumerate(CLASSES)}
    rows = []
    for i in range(len(attributes)):
        values = [1 if (columns[name][i] if name in columns else i % 2) else -1 for name in HEADER]
        rows.append(f"{i + 1:06}.jpg " + " ".join(f"{value:2}" for value in values))
    lines = [str(len(rows)), " ".join(HEADER) + " ", *rows]
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (root / "img_align_celeba").mkdir(exist_ok=True)
    if images:
        for i in np.flatnonzero(attributes.any(1)):
            (root / f"img_align_celeba/{i + 1:06}.jpg").write_bytes(picture(int(i) % 256))
    return root


@functools.cache
def picture(shade: int) -> bytes:
    from io import BytesIO

    Image.new("RGB", (178, 218), (shade, shade, shade)).save(file := BytesIO(), "JPEG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def small(monkeypatch, request):
    """The rule with fewer training images, in the data module alone."""
    if "official" not in request.function.__name__:
        monkeypatch.setattr(
            celeba, "celeba5_split", lambda rows, variant: celeba5_split(rows, variant, train_counts=COUNTS)
        )


def load(root: Path, **options) -> CelebA5:
    data = CelebA5(root, **options)
    data.setup()
    return data


def refusal(root: Path, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return error.value


def shades(images: torch.Tensor) -> list[int]:
    return images[:, 0, 8, 8].tolist()


def by_class(part: celeba.Part) -> list[list[int]]:
    return [part.files[part.labels == label].tolist() for label in range(5)]


def test_the_official_counts():
    split = celeba5_split(members(TRAIN_COUNTS))
    assert np.bincount(split.train.labels).tolist() == [424, 2423, 1499, 2078, 227]
    assert np.bincount(split.val.labels).tolist() == [50] * 5
    assert np.bincount(split.test.labels).tolist() == [100] * 5


@pytest.mark.parametrize("variant", celeba.VARIANTS)
def test_first_validation_then_test_then_training(variant):
    attributes = np.tile(members(), (2, 1))
    split = celeba5_split(attributes, variant, COUNTS)
    for label, count in enumerate(COUNTS):
        having = np.flatnonzero(attributes[:, label]).tolist()
        assert by_class(split.val)[label] == having[:50]
        assert by_class(split.test)[label] == having[50:150]
        assert by_class(split.train)[label] == having[150 : 150 + count]
    for part in split:
        assert part.labels.tolist() == sorted(part.labels)
        assert part.files.dtype == part.labels.dtype == np.int64


def test_published_repeats_images_of_several_labels():
    split = celeba5_split(with_twins(), "published", COUNTS)
    assert [part[:2] for part in by_class(split.val)[:1]] == [[0, 1]]
    assert by_class(split.val)[1][0] == 0
    assert by_class(split.val)[2][0] == 1


def test_clean_takes_the_next_ids_in_their_place():
    attributes = with_twins()
    split = celeba5_split(attributes, "clean", COUNTS)
    everything = np.concatenate([part.files for part in split])
    assert len(np.unique(everything)) == len(everything) == 750 + sum(COUNTS)
    assert (attributes[everything].sum(1) == 1).all()
    attributes[:2] = False
    for ours, expected in zip(split, celeba5_split(attributes, "published", COUNTS), strict=True):
        assert ours.files.tolist() == expected.files.tolist()
        assert ours.labels.tolist() == expected.labels.tolist()


def test_clean_is_clean_whatever_the_attributes():
    attributes = np.random.default_rng(0).random((3000, 5)) < 0.2
    published, clean = (celeba5_split(attributes, variant, COUNTS) for variant in celeba.VARIANTS)
    assert len(np.intersect1d(published.train.files, published.test.files)) > 0
    everything = np.concatenate([part.files for part in clean])
    assert len(np.unique(everything)) == len(everything)
    for part in (*published, *clean):
        assert attributes[part.files, part.labels].all()


@pytest.mark.parametrize("label", range(5))
def test_too_few_images_of_a_class_are_refused(label):
    attributes = members()
    attributes[np.flatnonzero(attributes[:, label])[-1], label] = False
    with pytest.raises(InputError) as error:
        celeba5_split(attributes, "published", COUNTS)
    needed = 150 + COUNTS[label]
    assert f"needs {needed} images of {CLASSES[label]}, {needed - 1} are listed" in error.value.message


def test_clean_has_the_counts_or_is_refused():
    attributes = members()
    attributes[0, 1] = True
    assert len(celeba5_split(attributes, "published", COUNTS).train.labels) == sum(COUNTS)
    with pytest.raises(InputError, match=r"\(clean\) needs 154 images of Bald, 153 are listed"):
        celeba5_split(attributes, "clean", COUNTS)


def test_attributes_are_read_by_name(tmp_path):
    attributes = with_twins()
    names, found = read_attributes(write(tmp_path, attributes, images=False) / "list_attr_celeba.txt")
    assert names[:2] == ["000001.jpg", "000002.jpg"]
    assert len(names) == len(attributes)
    assert (found == attributes).all()


def test_the_data_module(tmp_path, caplog):
    attributes = members()
    data = load(write(tmp_path, attributes), val="split")
    assert data.class_names == ["Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"]
    assert data.class_counts == list(COUNTS)
    assert (data.val_counts, data.test_counts) == ([50] * 5, [100] * 5)
    assert data.image_shape == (3, 32, 32)
    split = celeba5_split(attributes, "published", COUNTS)
    for part, images in (
        (split.train, data.train_set.images),
        (split.val, data.val_set.images),
        (split.test, data.test_set.images),
    ):
        assert shades(images) == (part.files % 256).tolist()
    assert not [record for record in caplog.records if "both in train and test" in record.message]


def overlapping() -> np.ndarray:
    """Bald ones that have black hair too: the 50 that validate do for both, 2 test for both, 3 train and test."""
    attributes = members(extra=5)
    bald, black = (np.flatnonzero(attributes[:, label]) for label in (0, 1))
    attributes[black[:50], 1] = False
    attributes[bald[:50], 1] = True  # these now are the first of the black-haired, so they validate
    attributes[bald[50:52], 1] = True  # and these come next
    attributes[bald[150:153], 1] = True
    return attributes


def test_overlaps_are_counted_warned_of_and_recorded(tmp_path, caplog):
    attributes = overlapping()
    write(tmp_path, attributes)
    with caplog.at_level(logging.INFO):
        data = load(tmp_path)
    told = "of the images 3 are both in train and test, 55 have several labels"
    assert f"{told}, as published: data.variant=clean has none" in caplog.text
    assert "CelebA-5, variant published" in caplog.text
    assert data.facts["variant"] == f"published; {told}"
    assert any(told in line for line in CelebA5(tmp_path).survey().findings)


@pytest.mark.parametrize("pair", [("train", "val"), ("train", "test"), ("val", "test")], ids=" and ".join)
def test_each_pair_of_parts_is_looked_at(pair):
    split = celeba5_split(members(), "published", COUNTS)
    assert celeba._overlap(split) == ""
    one, other = (getattr(split, name) for name in pair)
    images = np.append(one.files[:1], other.files[1:])  # both are bald
    mixed = split._replace(**{pair[1]: celeba.Part(images, other.labels)})
    assert celeba._overlap(mixed) == f"of the images 1 are both in {pair[0]} and {pair[1]}"


def test_the_clean_variant_warns_of_nothing(tmp_path, caplog):
    write(tmp_path, with_twins())
    with caplog.at_level(logging.INFO):
        data = load(tmp_path, variant="clean")
    assert data.class_counts == list(COUNTS)
    assert data.facts["variant"] == "clean; no image is in two parts or has two labels"
    assert "CelebA-5, variant clean" in caplog.text
    assert not [
        each for each in caplog.records if (each.name, each.levelname) == ("oponm.data.sources.celeba", "WARNING")
    ]


def test_faces_are_cut_to_the_center_and_halved(tmp_path):
    root = write(tmp_path, members())
    pixels = np.zeros((218, 178, 3), dtype=np.uint8)
    pixels[20:198, :89] = 200  # the left half of the center square; what lies above and below is cut off
    Image.fromarray(pixels).save(root / "img_align_celeba/000001.jpg", quality=100)
    image = load(root, val="split").val_set.images[0]
    rows = image[:, 1:-1].float()  # the outermost lie across the cut
    assert (rows[:, :, :14] - 200).abs().max() < 6
    assert rows[:, :, 18:].max() < 6
    assert load(root, image_size=16).image_shape == (3, 16, 16)


def test_missing_images_are_named(tmp_path):
    root = write(tmp_path, members())
    for number in (1, 3, 5, 7):
        (root / f"img_align_celeba/{number:06}.jpg").unlink()
    message = refusal(root).message
    assert message.startswith(f"4 of 250 images are missing: {root}/img_align_celeba/000001.jpg, ")
    assert "unpack img_align_celeba.zip as img_align_celeba/*.jpg below data.root" in message


def test_images_of_no_part_may_be_missing(tmp_path):
    attributes = members(extra=1)
    root = write(tmp_path, attributes)
    last = np.flatnonzero(attributes[:, 4])[-1]
    (root / f"img_align_celeba/{last + 1:06}.jpg").unlink()
    assert load(root).class_counts == list(COUNTS)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_damaged_image_is_named_or_skipped(tmp_path, on_error):
    attributes = members()
    root = write(tmp_path, attributes)
    path = root / f"img_align_celeba/{celeba5_split(attributes, 'published', COUNTS).train.files[0] + 1:06}.jpg"
    path.write_text("no pixels")
    if on_error == "raise":
        assert refusal(root).message.startswith(str(path))
    else:
        data = load(root, on_error="skip")
        assert data.class_counts == [3, *COUNTS[1:]]
        assert [str(path) in line for line in data.skipped] == [True]


DEFECTS = {
    "count": (0, "many", "line 1: must be the number of images, got 'many'"),
    "number": (0, "3", "line 1: says 3 images, "),
    "header": (1, "Bald Bangs", "line 2: must name the attributes; Black_Hair, Blond_Hair, Brown_Hair, Gray_Hair"),
    "values": (4, "000003.jpg 1 -1", "line 5: must be <id>.jpg and 8 times 1 or -1, got '000003.jpg 1 -1'"),
    "zero": (4, "000003.jpg 1 -1 0 1 1 1 1 1", "line 5: must be"),
    "path": (4, "../000003.jpg 1 1 1 1 1 1 1 1", "line 5: must be"),
    "blank": (4, "", "line 5: must be"),
    "order": (4, "000001.jpg 1 1 1 1 1 1 1 1", "line 5: 000001.jpg comes after 000002.jpg"),
    "twice": (4, "000002.jpg 1 1 1 1 1 1 1 1", "line 5: 000002.jpg comes after 000002.jpg"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_malformed_attribute_file_is_named(tmp_path, defect):
    path = write(tmp_path, members(), images=False) / "list_attr_celeba.txt"
    line, content, words = DEFECTS[defect]
    lines = path.read_text().split("\n")
    lines[line] = content
    path.write_text("\n".join(lines))
    message = refusal(tmp_path).message
    assert message.startswith(f"{path}, line ")
    assert words in message


@pytest.mark.parametrize("content", [None, "", "12\n", "no number"])
def test_a_missing_or_cut_attribute_file_is_named(tmp_path, content):
    path = tmp_path / "list_attr_celeba.txt"
    if content is not None:
        path.write_text(content)
    assert str(path) in refusal(tmp_path).message


def test_a_missing_folder_is_named(tmp_path):
    assert refusal(tmp_path / "none").key == "root"


@pytest.mark.parametrize(
    ("key", "value"), [("variant", "dirty"), ("image_size", 3), ("image_size", None), ("on_error", "ignore")]
)
def test_bad_settings_are_refused_at_once(key, value):
    with pytest.raises(InputError) as error:
        CelebA5("nowhere", **{key: value})
    assert error.value.key == key


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_pack_gives_the_pixels_of_the_files(tmp_path, in_memory):
    attributes = with_twins()
    root = write(tmp_path / "set", attributes)
    source = CelebA5(root, pack=tmp_path / "pack", in_memory=in_memory).load_source()
    pack = source.packing.make()
    split = celeba5_split(attributes, "published", COUNTS)
    assert len(pack.entries) == len(np.unique(np.concatenate([part.files for part in split])))
    direct = load(root, val="split")
    packed = load(root, val="split", pack=tmp_path / "pack", in_memory=in_memory)
    for name in ("train_set", "val_set", "test_set"):
        ours, theirs = getattr(packed, name), getattr(direct, name)
        batch = IndexBatch(torch.arange(len(theirs)), 0, 0)
        assert torch.equal(ours.__getitems__(batch).images, theirs.images)
        assert torch.equal(ours.targets, theirs.targets)
    assert packed.statistics == direct.statistics


def test_without_a_pack_faces_are_kept_in_memory(tmp_path):
    assert refusal(write(tmp_path, members()), in_memory=False).key == "in_memory"


def test_a_survey_of_what_is_complete(tmp_path):
    survey = CelebA5(write(tmp_path, members())).survey()
    assert survey.problems == []
    assert survey.class_names == list(CLASSES)
    assert survey.counts == {"training": list(COUNTS), "validation": [50] * 5, "test": [100] * 5}
    assert "test images: all 500 are there" in survey.findings


def test_a_survey_tells_all_that_is_wrong(tmp_path):
    root = write(tmp_path, members())
    split = celeba5_split(members(), "published", COUNTS)
    for image in (*split.train.files[:3], *split.test.files[:2]):
        (root / f"img_align_celeba/{image + 1:06}.jpg").unlink()
    survey = CelebA5(root).survey()
    found = [error.message.split(":")[0] for error in survey.problems]
    assert found == ["3 of 30 images are missing", "2 of 500 images are missing"]
    assert survey.counts["training"] == list(COUNTS)
    (root / "list_attr_celeba.txt").write_text("no number")
    assert ["line 1" in error.message for error in CelebA5(root).survey().problems] == [True]
    assert [error.key for error in CelebA5(tmp_path / "none").survey().problems] == ["root"]
