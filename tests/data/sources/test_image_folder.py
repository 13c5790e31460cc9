from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from oponm.data import ImageFolderLT
from oponm.data.check import check_data
from oponm.data.samplers import IndexBatch
from oponm.errors import InputError

COUNTS = {"cat": 10, "dog": 6, "emu": 4}


def fill(folder: Path, counts: dict[str, int], first: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    """Pictures of one color: red tells the class, green the number of the picture."""
    for label, (name, number) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(first, first + number):
            Image.new("RGB", size, (label, i, 100)).save(folder / name / f"{i:03}.png")
    return folder


def split_in_two(root: Path, train: dict[str, int] = COUNTS, test: str = "test") -> Path:
    fill(root / "train", train)
    fill(root / test, dict.fromkeys(train, 3), first=200)
    return root


def load(root: Path, **options) -> ImageFolderLT:
    data = ImageFolderLT(root, **options)
    data.setup()
    return data


def contents(images: torch.Tensor) -> list[tuple[int, int]]:
    assert (images == images[:, :, :1, :1]).all()
    return [(pixel[0], pixel[1]) for pixel in images[:, :, 0, 0].tolist()]


def numbers(images: torch.Tensor, label: int) -> set[int]:
    return {number for found, number in contents(images) if found == label}


FORMS = [
    {"resize": "stretch", "image_size": 8},
    {"resize": "pad", "image_size": 8},
    {"image_size": [8, 12]},
    {"resize": "pad", "image_size": (8, 12), "channels": 1},
    {"channels": 1, "image_size": 8},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_memory_streams_and_packs_give_one_form(tmp_path, form):
    root = fill(tmp_path / "photos", COUNTS, size=(24, 10))
    Image.new("RGB", (9, 30), (0, 0, 255)).save(root / "cat" / "000.png")
    memory = load(root, **form)
    height, width = (form["image_size"],) * 2 if form["image_size"] == 8 else form["image_size"]
    assert memory.image_shape == (form.get("channels", 3), height, width)
    everything = IndexBatch(torch.arange(len(memory.test_set)), 0, 0)
    for options in ({"in_memory": False}, {"pack": tmp_path / "one"}, {"pack": tmp_path / "two", "in_memory": False}):
        if "pack" in options:
            ImageFolderLT(root, **form, **options, pack_size=None).load_source().packing.make()
        data = load(root, **form, **options, pack_size=None)
        assert torch.equal(data.test_set.__getitems__(everything).images, memory.test_set.images)
        assert data.image_shape == memory.image_shape
        assert data.train_set.__getitems__(everything).images.shape[1:] == memory.image_shape


def test_the_form_of_streamed_images_is_in_their_digest(tmp_path):
    root = fill(tmp_path, COUNTS)
    plain = load(root, in_memory=False, image_size=8).content_digest
    others = [load(root, in_memory=False, **form).content_digest for form in FORMS]
    assert plain == others[2]  # the size is compared on its own
    assert len({plain, *others}) == 5


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"image_size": [8]}, "image_size"),
        ({"image_size": [8, 2]}, "image_size"),
        ({"image_size": "8"}, "image_size"),
        ({"resize": "squeeze"}, "resize"),
        ({"channels": 2}, "channels"),
        ({"channels": True}, "channels"),
        ({"channels": 1, "statistics": "imagenet"}, "statistics"),
    ],
    ids=str,
)
def test_forms_that_cannot_be(tmp_path, options, key):
    assert refusal(fill(tmp_path, COUNTS), **options).key == key


def refusal(root: Path, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return error.value


def picture_of_billions(path: Path) -> Path:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))
    return path


def truncated(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("no pixels")
    return path


DAMAGE = {"truncated": truncated, "text": text, "empty": lambda path: path.write_bytes(b"") or path}


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_of_its_own_is_the_test_set(tmp_path, test):
    data = load(split_in_two(tmp_path, test=test))
    assert data.class_names == ["cat", "dog", "emu"]
    assert data.class_counts == [10, 6, 4]
    assert data.test_counts == [3, 3, 3]
    assert contents(data.train_set.images) == [(label, i) for label, n in enumerate((10, 6, 4)) for i in range(n)]
    assert contents(data.test_set.images) == [(label, i) for label in range(3) for i in (200, 201, 202)]
    assert data.train_set.targets.tolist() == [0] * 10 + [1] * 6 + [2] * 4
    assert data.test_set.targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert data.skipped == []


def in_three(root: Path) -> Path:
    fill(split_in_two(root) / "val", {"cat": 2, "dog": 1, "emu": 1}, first=100)
    return root


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_val_beside_train_and_test_validates(tmp_path, caplog, in_memory):
    with caplog.at_level(logging.INFO):
        data = load(in_three(tmp_path), val="split", in_memory=in_memory, image_size=8)
    assert (data.class_counts, data.val_counts, data.test_counts) == ([10, 6, 4], [2, 1, 1], [3, 3, 3])
    pixels = data.val_set.__getitems__(IndexBatch(torch.arange(4), 0, 0)).images
    assert contents(pixels) == [(0, 100), (0, 101), (1, 100), (2, 100)]
    assert data.facts["validation"] == "own folder"
    assert "validation: own folder" in caplog.text


@pytest.mark.parametrize(
    ("val", "counts", "policy"), [("test", [3, 3, 3], "the test set"), ("none", [], "none")], ids=["test", "none"]
)
def test_other_policies_leave_the_folder_val_alone(tmp_path, caplog, val, counts, policy):
    with caplog.at_level(logging.INFO):
        data = load(in_three(tmp_path), val=val)
    assert (data.class_counts, data.val_counts, data.test_counts) == ([10, 6, 4], counts, [3, 3, 3])
    assert data.facts["validation"] == policy
    assert numbers(data.test_set.images, 0) == {200, 201, 202}
    assert f"the folder val is not used by data.val={val}, but by data.val=split" in caplog.text


def test_a_folder_val_in_place_of_test_is_the_test_set_and_the_log_says_so(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        data = load(split_in_two(tmp_path, test="val"), val="split", val_size=1)
    assert (data.class_counts, data.val_counts, data.test_counts) == ([9, 5, 3], [1, 1, 1], [3, 3, 3])
    assert data.facts["validation"] == "held out of the training images"
    assert "there is no folder test, so val is the test set" in caplog.text


@pytest.mark.parametrize("val", ["split", "none"])
def test_the_folder_val_must_have_the_same_classes(tmp_path, val):
    in_three(tmp_path)
    (tmp_path / "val" / "dog").rename(tmp_path / "val" / "hound")
    assert "train and val differ in classes: train has no hound; val has no dog" in refusal(tmp_path, val=val).message


@pytest.mark.parametrize(("fraction", "held_out"), [(0.2, [2, 1, 1]), (0.5, [5, 3, 2]), (0.01, [1, 1, 1])])
def test_without_one_a_share_of_each_class_is_held_out(tmp_path, fraction, held_out):
    data = load(fill(tmp_path, COUNTS), test_fraction=fraction)
    assert data.test_counts == held_out
    for label, (number, out) in enumerate(zip(COUNTS.values(), held_out, strict=True)):
        kept, tested = (numbers(images, label) for images in (data.train_set.images, data.test_set.images))
        assert len(tested) == out
        assert kept.isdisjoint(tested)
        assert kept | tested == set(range(number))
        assert data.class_counts[label] == number - out
    for images, targets in (
        (data.train_set.images, data.train_set.targets),
        (data.test_set.images, data.test_set.targets),
    ):
        assert [label for label, _ in contents(images)] == targets.tolist()


@pytest.mark.parametrize("options", [{"seed": 5}, {"draw_seed": 5}, {"batch_size": 2}, {}], ids=str)
def test_the_test_set_is_the_same_for_every_run(tmp_path, options):
    first, second = load(fill(tmp_path, COUNTS)), load(tmp_path, **options)
    assert torch.equal(second.test_set.images, first.test_set.images)
    assert second.digest == first.digest


@pytest.mark.parametrize("two_folders", [True, False])
def test_classes_come_by_name(tmp_path, two_folders):
    names = ["zebra", "Ant", "élan", "2", "10", "a b"]
    counts = {name: 5 + i for i, name in enumerate(names)}
    data = load(split_in_two(tmp_path, counts) if two_folders else fill(tmp_path, counts))
    assert data.class_names == sorted(names)
    for label, name in enumerate(data.class_names):
        reds = {red for red, _ in contents(data.train_set.images[data.train_set.targets == label])}
        assert reds == {names.index(name)}


def test_files_come_by_name_from_subfolders_too_and_in_any_format(tmp_path):
    split_in_two(tmp_path)
    folder = tmp_path / "train" / "cat"
    (folder / "0_first" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8), (0, 77, 100)).save(folder / "0_first" / "deep" / "x.BMP")
    Image.new("RGB", (8, 8), (0, 78, 100)).save(folder / "zz.WebP", lossless=True)
    data = load(tmp_path)
    assert [number for _, number in contents(data.train_set.images[data.train_set.targets == 0])] == [
        *range(10),
        77,
        78,
    ]


@pytest.mark.parametrize("two_folders", [True, False])
@pytest.mark.parametrize(
    ("profile", "counts"), [("exponential", [40, 12, 4]), ("step", [40, 4, 4]), (None, [40, 40, 40])]
)
def test_a_tail_is_drawn_or_not(tmp_path, two_folders, profile, counts):
    names = ("a", "b", "c")
    root = split_in_two(tmp_path, dict.fromkeys(names, 40)) if two_folders else fill(tmp_path, dict.fromkeys(names, 50))
    data = load(root, **({"imbalance_ratio": 10, "profile": profile} if profile else {}))
    assert data.class_counts == counts
    assert [len(numbers(data.train_set.images, label)) for label in range(3)] == counts
    assert data.test_counts == ([3] * 3 if two_folders else [10] * 3)
    for label in range(3):
        assert numbers(data.train_set.images, label).isdisjoint(numbers(data.test_set.images, label))


def test_a_tail_fits_the_images_at_hand(tmp_path):
    assert load(split_in_two(tmp_path), imbalance_ratio=2.5).class_counts == [10, 6, 4]
    assert load(tmp_path, imbalance_ratio=1).class_counts == [4, 4, 4]


def test_a_tail_that_does_not_fit_is_refused(tmp_path):
    assert refusal(split_in_two(tmp_path), imbalance_ratio=11).key == "imbalance_ratio"


def test_images_that_are_not_drawn_are_not_read(tmp_path):
    split_in_two(tmp_path)
    truncated(tmp_path / "train" / "cat" / "009.png")
    data = load(tmp_path, imbalance_ratio=1, draw="m2m")
    assert numbers(data.train_set.images, 0) == {0, 1, 2, 3}


@pytest.mark.parametrize("two_folders", [True, False])
def test_a_file_of_indices_picks_the_images(tmp_path, two_folders):
    root = split_in_two(tmp_path / "root") if two_folders else fill(tmp_path / "root", COUNTS)
    everything = load(root)
    first = (everything.train_set.targets == 2).nonzero()[0].item()
    indices = [first + 1, 2, (everything.train_set.targets == 1).nonzero()[0].item(), 0]
    (tmp_path / "some.txt").write_text("\n".join(map(str, indices)))
    data = load(root, draw=str(tmp_path / "some.txt"))
    assert data.class_counts == [2, 1, 1]
    assert torch.equal(data.train_set.images, everything.train_set.images[indices])
    assert torch.equal(data.train_set.targets, everything.train_set.targets[indices])
    assert torch.equal(data.test_set.images, everything.test_set.images)


def test_a_file_of_indices_out_of_range_is_refused(tmp_path):
    root = split_in_two(tmp_path / "root")
    (tmp_path / "some.txt").write_text("0\n20\n")
    assert "some.txt: index 20 " in str(refusal(root, draw=str(tmp_path / "some.txt")))


def test_a_file_of_indices_without_a_class_is_refused(tmp_path):
    root = split_in_two(tmp_path / "root")
    (tmp_path / "some.txt").write_text("0\n10\n")
    assert "class 'emu' has no training image" in str(refusal(root, draw=str(tmp_path / "some.txt")))


@pytest.mark.parametrize(
    ("size", "default"), [((8, 8), 8), ((30, 20), 20), ((20, 30), 20), ((300, 250), 224), ((224, 500), 224)], ids=str
)
def test_the_size_is_the_median_short_side(tmp_path, caplog, size, default):
    fill(tmp_path / "train", {"a": 1}, size=(3000, 6))
    fill(tmp_path / "train", {"b": 2}, size=size)
    fill(tmp_path / "test", {"a": 1, "b": 1}, size=(6, 6))
    data = load(tmp_path)
    assert data.image_shape == (3, default, default)
    assert data.train_set.images.shape == (3, 3, default, default)
    assert data.test_set.images.shape == (2, 3, default, default)
    assert "sides from 6 to 3000 pixels" in caplog.text
    assert data.facts["image size"].startswith(f"{default}, the median short side")


def test_sides_that_differ_little_are_no_news(tmp_path, caplog):
    fill(tmp_path, {"a": 5, "b": 5}, size=(32, 8))
    load(tmp_path)
    assert "pixels" not in caplog.text


@pytest.mark.parametrize("size", [4, 16, 300])
def test_an_explicit_size_goes_before(tmp_path, size):
    data = load(split_in_two(tmp_path), image_size=size)
    assert data.image_shape == (3, size, size)
    assert contents(data.train_set.images)[:10] == [(0, i) for i in range(10)]


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_size_is_taken_from_the_first_that_can_be_read(tmp_path, damage):
    split_in_two(tmp_path, {"a": 2, "b": 2})
    if damage != "truncated":
        DAMAGE[damage](tmp_path / "train" / "a" / "000.png")
    else:
        (tmp_path / "train" / "a" / "000.png").write_bytes(b"\x89PNG\r\n")
    assert load(tmp_path, on_error="skip").image_shape == (3, 8, 8)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_first_image_too_large_to_be_safe_is_named(tmp_path, on_error):
    path = picture_of_billions(split_in_two(tmp_path) / "train" / "cat" / "000.png")
    if on_error == "raise":
        assert str(path) in str(refusal(tmp_path))
    else:
        data = load(tmp_path, on_error="skip")
        assert data.class_counts == [9, 6, 4]
        assert [str(path) in line for line in data.skipped] == [True]


def test_no_file_that_can_be_read_is_refused(tmp_path):
    for path in sorted(split_in_two(tmp_path).rglob("train/*/*.png")):
        text(path)
    for on_error in ("raise", "skip"):
        assert str(tmp_path / "train" / "cat" / "000.png") in str(refusal(tmp_path, on_error=on_error))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, damage, part):
    path = DAMAGE[damage](sorted((split_in_two(tmp_path) / part / "dog").iterdir())[1])
    error = refusal(tmp_path)
    assert str(path) in error.message
    assert "on_error=skip" in error.message


def test_all_of_several_are_named(tmp_path):
    split_in_two(tmp_path)
    names = ("train/emu/001.png", "train/cat/005.png", "test/dog/200.png")
    for name in names:
        text(tmp_path / name)
    message = refusal(tmp_path).message
    assert message.startswith("3 files cannot be used: ")
    assert message.endswith("replace them, or set data.on_error=skip")
    assert all(f"{tmp_path / name}: is no image" in message for name in names)


def test_all_files_that_are_no_images_are_named(tmp_path):
    split_in_two(tmp_path)
    names = ("train/emu/notes.txt", "test/cat/labels.csv")
    for name in names:
        text(tmp_path / name)
    message = refusal(tmp_path).message
    assert all(f"{tmp_path / name}: is no image" in message for name in names)


@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "no_suffix", "000.png.bak"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_file_beside_the_images_is_named(tmp_path, name, part):
    path = text(split_in_two(tmp_path) / part / "emu" / name)
    assert refusal(tmp_path).message == f"{path}: is no image; remove it, or set data.on_error=skip"


@pytest.mark.parametrize("damage", DAMAGE)
def test_skipping_leaves_files_out_and_lists_them(tmp_path, damage):
    split_in_two(tmp_path)
    bad = [DAMAGE[damage](tmp_path / name) for name in ("train/cat/003.png", "train/emu/000.png", "test/dog/201.png")]
    bad.append(text(tmp_path / "train" / "dog" / "notes.txt"))
    data = load(tmp_path, on_error="skip")
    assert data.class_counts == [9, 6, 3]
    assert data.test_counts == [3, 2, 3]
    assert contents(data.train_set.images) == [
        (label, i) for label, n in enumerate((10, 6, 4)) for i in range(n) if (label, i) not in ((0, 3), (2, 0))
    ]
    assert [label for label, _ in contents(data.train_set.images)] == data.train_set.targets.tolist()
    assert numbers(data.test_set.images, 1) == {200, 202}
    assert len(data.skipped) == 4
    for path in bad:
        assert sum(line.startswith(f"{path}: ") for line in data.skipped) == 1
    assert not any("on_error" in line for line in data.skipped)


def test_what_is_skipped_is_out_of_the_digest_and_the_statistics(tmp_path):
    whole = load(split_in_two(tmp_path))
    truncated(tmp_path / "train" / "cat" / "003.png")
    less = load(tmp_path, on_error="skip")
    assert less.digest != whole.digest
    reds = less.train_set.images[:, 0].double() / 255
    assert less.statistics.mean[0] == pytest.approx(reds.mean().item())


def test_skipping_goes_on_without_a_held_out_folder(tmp_path):
    truncated(fill(tmp_path, COUNTS) / "cat" / "003.png")
    data = load(tmp_path, on_error="skip")
    assert data.class_counts[0] + data.test_counts[0] == 9
    assert len(data.skipped) == 1


def test_skipping_nothing_changes_nothing(tmp_path):
    one, other = load(split_in_two(tmp_path)), load(tmp_path, on_error="skip")
    assert other.digest == one.digest
    assert other.skipped == []
    assert torch.equal(other.train_set.images, one.train_set.images)


@pytest.mark.parametrize(("part", "kind"), [("train", "training"), ("test", "test")])
def test_a_class_that_is_skipped_whole_is_refused(tmp_path, part, kind):
    for path in sorted((split_in_two(tmp_path) / part / "emu").iterdir()):
        text(path)
    assert f"class 'emu' has no {kind} image left" in refusal(tmp_path, on_error="skip").message


@pytest.mark.parametrize("clutter", [".DS_Store", "._000.png", ".hidden.png", "Thumbs.db", "thumbs.db", "desktop.ini"])
@pytest.mark.parametrize("two_folders", [True, False])
def test_what_systems_leave_behind_is_passed_over(tmp_path, clutter, two_folders):
    root = split_in_two(tmp_path) if two_folders else fill(tmp_path, COUNTS)
    before = load(root)
    for folder in sorted({path.parent for path in root.rglob("*.png")} | {root}):
        text(folder / clutter)
    after = load(root)
    assert after.skipped == []
    assert after.class_counts == before.class_counts
    assert after.test_counts == before.test_counts


def test_hidden_folders_beside_the_classes_are_passed_over(tmp_path):
    split_in_two(tmp_path)
    for folder in (tmp_path, tmp_path / "train"):
        fill(folder, {".ipynb_checkpoints": 2})
    assert load(tmp_path).class_names == ["cat", "dog", "emu"]


def test_hidden_folders_among_the_images_are_passed_over(tmp_path):
    fill(split_in_two(tmp_path) / "train" / "cat", {".ipynb_checkpoints": 2}, first=50)
    data = load(tmp_path)
    assert data.class_counts == [10, 6, 4]
    assert numbers(data.train_set.images, 0) == set(range(10))


def test_a_hidden_folder_above_hides_nothing(tmp_path):
    assert load(split_in_two(tmp_path / ".cache" / "birds")).class_counts == [10, 6, 4]


def test_files_beside_the_class_folders_are_passed_over(tmp_path):
    split_in_two(tmp_path)
    for folder in (tmp_path, tmp_path / "train", tmp_path / "test"):
        text(folder / "README.md")
    assert load(tmp_path).class_counts == [10, 6, 4]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_folder_is_named(tmp_path, kind):
    root = tmp_path / "missing" if kind == "missing" else text(tmp_path / "file")
    error = refusal(root)
    assert error.key == "root"
    assert str(root) in error.message


@pytest.mark.parametrize("inside", ["", "train"])
def test_too_few_classes_are_refused(tmp_path, inside):
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    if inside:
        (tmp_path / "test").mkdir()
    error = refusal(tmp_path)
    assert error.key == "root"
    assert f"{folder} must hold a folder for each of at least two classes, found none" in error.message
    fill(folder, {"only": 3})
    if inside:
        fill(tmp_path / "test", {"only": 3})
    assert "found only one, only" in refusal(tmp_path).message


def test_training_images_without_a_test_set_are_refused(tmp_path):
    fill(tmp_path / "train", COUNTS)
    error = refusal(tmp_path)
    assert error.key == "root"
    assert "neither test nor val" in error.message


@pytest.mark.parametrize("clutter", [None, ".DS_Store", "notes.txt"])
@pytest.mark.parametrize("part", ["train", "test", None])
def test_a_class_folder_without_images_is_named(tmp_path, part, clutter):
    root = split_in_two(tmp_path) if part else fill(tmp_path, COUNTS)
    folder = root / (part or "") / "dog"
    for path in folder.iterdir():
        path.unlink()
    if clutter:
        text(folder / clutter)
    assert f"{folder}: holds no image" in refusal(tmp_path, on_error="skip").message


def test_a_single_image_cannot_be_split(tmp_path):
    fill(tmp_path, {"a": 5, "b": 1, "c": 5})
    assert refusal(tmp_path).message.startswith(f"{tmp_path / 'b'}: holds a single image")


@pytest.mark.parametrize("missing_from", ["train", "test"])
def test_classes_that_differ_are_named(tmp_path, missing_from):
    split_in_two(tmp_path)
    folder = tmp_path / missing_from / "dog"
    folder.rename(folder.with_name("hound"))
    message = refusal(tmp_path).message
    assert str(tmp_path) in message
    other = {"train": "test", "test": "train"}[folder.parent.name]
    assert f"{other} has no hound" in message
    assert f"{folder.parent.name} has no dog" in message


@pytest.mark.parametrize("value", ["ignore", None, True, ""])
def test_an_unknown_on_error_is_refused(tmp_path, value):
    assert refusal(tmp_path, on_error=value).key == "on_error"


@pytest.mark.parametrize("value", [0, 3, -8, 8.5, "32", True])
def test_a_bad_size_is_refused(tmp_path, value):
    assert refusal(tmp_path, image_size=value).key == "image_size"


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, "0.2", None, float("nan")])
def test_a_bad_share_is_refused(tmp_path, value):
    assert refusal(fill(tmp_path, COUNTS), test_fraction=value).key == "test_fraction"


def test_a_share_that_leaves_nothing_to_train_on_is_refused(tmp_path):
    fill(tmp_path, {"cat": 100, "dog": 2})
    error = refusal(tmp_path, test_fraction=0.9)
    assert "dog" in error.message or error.key == "test_fraction"


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    split_in_two(tmp_path / "birds")
    assert load("~/birds").class_counts == [10, 6, 4]


def test_a_tail_drawn_from_a_skewed_folder_keeps_its_head(tmp_path):
    for name, number in (("cat", 25), ("dog", 10), ("ship", 100)):
        (tmp_path / name).mkdir()
        for index in range(number):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / name / f"{index}.png")
    data = ImageFolderLT(tmp_path, imbalance_ratio=9)
    data.setup()
    assert data.class_counts == [20, 6, 62]  # 62 is the largest head of which a third, rounded down, is 20
    other = ImageFolderLT(tmp_path, imbalance_ratio=9, draw_seed=1)
    other.setup()
    assert other.content_digest != data.content_digest


@pytest.mark.parametrize(
    ("train", "test", "val"),
    [("Training", "Testing", "validation"), ("TRAIN", "TEST", "valid"), ("train", "test", "dev")],
)
def test_usual_names_of_splits_are_understood_in_any_case(tmp_path, train, test, val):
    fill(tmp_path / train, COUNTS)
    fill(tmp_path / test, dict.fromkeys(COUNTS, 3), first=200)
    fill(tmp_path / val, dict.fromkeys(COUNTS, 2), first=100)
    data = load(tmp_path, val="split")
    assert (data.class_counts, data.test_counts, data.val_counts) == ([10, 6, 4], [3, 3, 3], [2, 2, 2])
    assert data.facts["validation"] == "own folder"


@pytest.mark.parametrize("names", [("train", "Train"), ("test", "testing"), ("val", "validation")])
def test_two_folders_of_a_kind_are_refused(tmp_path, names):
    split_in_two(tmp_path)
    for name in names:
        fill(tmp_path / name, COUNTS) if not (tmp_path / name).exists() else None
    error = refusal(tmp_path)
    assert error.key == "root"
    assert all(name in error.message for name in names)


def test_a_split_without_train_is_refused(tmp_path):
    fill(tmp_path, COUNTS)
    fill(tmp_path / "validation", COUNTS)
    assert "has a folder validation but no folder train" in refusal(tmp_path).message


def test_folders_beside_the_splits_are_told_of(tmp_path, caplog):
    split_in_two(tmp_path)
    fill(tmp_path / "TEST_SIMPLE", {"cat": 1})
    fill(tmp_path / "old", {"cat": 1})
    assert load(tmp_path).class_counts == [10, 6, 4]
    lines = [record.getMessage() for record in caplog.records if "is not used" in record.getMessage()]
    assert [line.partition(" ")[0] for line in lines] == [str(tmp_path / "TEST_SIMPLE"), str(tmp_path / "old")]


@pytest.mark.parametrize("system", ["@eaDir", "__MACOSX", "__pycache__", "$RECYCLE.BIN"])
@pytest.mark.parametrize("two_folders", [True, False])
def test_folders_of_systems_are_absent(tmp_path, caplog, two_folders, system):
    root = split_in_two(tmp_path) if two_folders else fill(tmp_path, COUNTS)
    before = load(root).class_counts
    for folder in [path for path in [root, *root.rglob("*")] if path.is_dir()]:
        fill(folder / system, {"cat": 1})
        text(folder / system / "notes.txt")
    caplog.clear()
    data = load(root)
    assert (data.class_names, data.class_counts) == (["cat", "dog", "emu"], before)
    assert system not in caplog.text


@pytest.mark.parametrize("level", ["class", "below"])
def test_links_inside_the_root_are_followed(tmp_path, level):
    split_in_two(tmp_path)
    target = tmp_path / ".store"
    source = tmp_path / "train" / "dog"
    if level == "below":
        source = source / "more"
        fill(tmp_path / "train" / "dog", {"more": 2}, first=50)
    source.rename(target)
    source.symlink_to(target, target_is_directory=True)
    (tmp_path / "train" / "dog" / "loop").symlink_to(tmp_path / "train" / "dog", target_is_directory=True)
    assert load(tmp_path).class_counts == [10, 6 if level == "class" else 8, 4]


@pytest.mark.parametrize("place", ["train/dog", "train/dog/more", "test"])
def test_links_out_of_the_root_are_named(tmp_path, place):
    root = split_in_two(tmp_path / "root")
    outside = tmp_path / "outside"
    (root / place).rename(outside) if (root / place).exists() else fill(outside, {"x": 1})
    (root / place).symlink_to(outside, target_is_directory=True)
    message = refusal(root, on_error="skip").message
    assert f"{root / place}" in message
    assert f"is a link that leaves {root} (to {outside}" in message


@pytest.mark.parametrize("inside", [{"train": COUNTS, "test": COUNTS}, {"": COUNTS}])
@pytest.mark.parametrize("others", [[], ["docs"], ["other"]])
def test_a_root_one_level_too_high_is_refused(tmp_path, inside, others):
    for name, counts in inside.items():
        fill(tmp_path / "birds" / name, counts)
    for other in others:
        fill(tmp_path / other, {} if other == "docs" else COUNTS)
        (tmp_path / other).mkdir(exist_ok=True)
    error = refusal(tmp_path)
    assert error.key == "root"
    assert f"did you mean {tmp_path / 'birds'}?" in error.message


def test_classes_of_folders_alone_are_taken_where_that_is_said(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name, {"one": 5, "two": 5})
    assert "data.nested=true" in refusal(tmp_path).message
    assert load(tmp_path, nested=True).class_names == ["cat", "dog"]
    assert refusal(tmp_path, nested="yes").key == "nested"


def test_a_class_may_be_named_as_a_split_where_there_is_a_folder_train(tmp_path):
    split_in_two(tmp_path, {"car": 3, "train": 4})
    data = load(tmp_path)
    assert (data.class_names, data.class_counts) == (["car", "train"], [3, 4])


def test_a_named_pipe_is_no_image(tmp_path):
    split_in_two(tmp_path)
    pipe = tmp_path / "train" / "dog" / "pipe.png"
    os.mkfifo(pipe)
    assert refusal(tmp_path).message == f"{pipe}: is no image; remove it, or set data.on_error=skip"
    assert load(tmp_path, on_error="skip").class_counts == [10, 6, 4]


@pytest.mark.parametrize(("in_memory", "on_error"), [(True, "raise"), (True, "skip"), (False, "raise")])
def test_white_is_that_of_the_training_set(tmp_path, caplog, in_memory, on_error):
    for part, largest in (("train", 4095), ("test", 2000)):
        for label, name in enumerate(("a", "b")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                value = 1000 if label or number else largest
                Image.new("I;16", (8, 8), value).save(folder / f"{number}.png")
    data = load(tmp_path, in_memory=in_memory, on_error=on_error)
    test = data.test_set.__getitems__(IndexBatch(torch.arange(6), 0, 0)).images
    assert data.pixel_max == 4095
    assert test[:, 0, 0, 0].tolist() == [2000 // 16, *[1000 // 16] * 5]
    assert caplog.text.count("4095 is taken as white") == 1
    assert "4095 is taken as white" in data.facts["pixels"]
    said = load(tmp_path, in_memory=in_memory, on_error=on_error, pixel_max=65535)
    assert said.test_set.__getitems__(IndexBatch(torch.arange(1), 0, 0)).images[0, 0, 0, 0] == 2000 // 256


def test_a_deep_image_in_a_set_of_eight_bits_is_refused(tmp_path):
    split_in_two(tmp_path)
    path = tmp_path / "test" / "dog" / "200.png"
    Image.new("I;16", (8, 8), 4000).save(path)
    message = refusal(tmp_path).message
    assert str(path) in message
    assert "data.pixel_max" in message


@pytest.mark.parametrize("empty", [True, False])
def test_a_class_may_be_missing_from_the_test_set_where_that_is_said(tmp_path, caplog, empty):
    split_in_two(tmp_path)
    for path in (tmp_path / "test" / "dog").iterdir():
        path.unlink()
    if not empty:
        (tmp_path / "test" / "dog").rmdir()
        assert "data.on_missing_class=warn" in refusal(tmp_path).message
    data = load(tmp_path, on_missing_class="warn")
    assert data.test_counts == [3, 0, 3]
    assert "no test images of 'dog': means over classes leave them out" in caplog.text
    assert data.facts["missing classes"] == "no test images of 'dog'"
    fill(tmp_path / "test", {"hound": 1})
    assert "hound" in refusal(tmp_path, on_missing_class="warn").message


@pytest.mark.parametrize("name", ["validation", "val"])
def test_the_check_of_data_tells_of_a_folder_that_is_not_used(tmp_path, name):
    fill(split_in_two(tmp_path) / name, dict.fromkeys(COUNTS, 2), first=100)
    told = f"folders: the folder {name} is not used by data.val=none, but by data.val=split"
    assert told in check_data(ImageFolderLT(tmp_path)).facts
    assert told not in check_data(ImageFolderLT(tmp_path, val="split")).facts


def test_a_folder_without_any_image_is_refused_though_classes_may_miss(tmp_path):
    split_in_two(tmp_path)
    for name in COUNTS:
        (tmp_path / "val" / name).mkdir(parents=True)
    with pytest.raises(InputError, match=r"val: holds no image in any class folder"):
        load(tmp_path, val="split", on_missing_class="warn")
