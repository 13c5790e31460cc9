from __future__ import annotations

import builtins
import io
import pickle
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data import HuggingFaceLT, ImageFolderLT
from oponm.data.samplers import IndexBatch
from oponm.errors import InputError
from tests.data.sources.test_image_folder import fill

datasets = pytest.importorskip("datasets")
COUNTS = {"cat": 20, "dog": 12, "emu": 8}
LABELS = [name for name, count in COUNTS.items() for _ in range(count)]


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    """No network, and no file of the library outside of the tests' folders."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    for constants in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def png(red: int, green: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, green, 100)).save(buffer, "PNG")
    return buffer.getvalue()


def rows(labels: list, kind=None, first: int = 0, name: str = "label", more: dict | None = None):
    """Pictures of one color: red is the class, green the number of the row."""
    order = sorted(set(LABELS))
    reds = [order.index(label) if label in order else 0 for label in labels]
    cells = [{"bytes": png(red, first + row), "path": None} for row, red in enumerate(reds)]
    features = {"image": datasets.Image(), name: kind or datasets.ClassLabel(names=order)}
    columns = {"image": cells, name: labels, **(more or {})}
    features |= {key: datasets.Value("string") for key in more or {}}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def load(path: Path, **options) -> HuggingFaceLT:
    data = HuggingFaceLT(path, **options)
    data.setup()
    return data


def refusal(path: Path, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(path, **options)
    assert "\n" not in str(error.value)
    return error.value


def saved(folder: Path, **splits) -> Path:
    datasets.DatasetDict(splits).save_to_disk(folder)
    return folder


def test_one_split_is_held_out_of_as_a_folder_is(tmp_path):
    data = load(saved(tmp_path / "set", train=rows(LABELS)), val="split", val_size=0.25)
    folder = ImageFolderLT(fill(tmp_path / "photos", COUNTS), val="split", val_size=0.25)
    folder.setup()
    for part in ("class_names", "class_counts", "test_counts", "val_counts", "digest"):
        assert getattr(data, part) == getattr(folder, part)
    assert data.train_set.images[:, 0, 0, 0].tolist() == data.train_set.targets.tolist()
    assert data.facts["data set"] == f"{tmp_path / 'set'}, train"


def test_splits_by_their_usual_names(tmp_path):
    small = rows(["cat", "dog", "emu"] * 2, first=100)
    path = saved(tmp_path / "set", train=rows(LABELS), validation=small, test=small, extra=small)
    data = load(path, val="split", imbalance_ratio=4)
    assert (data.class_counts, data.val_counts, data.test_counts) == ([20, 10, 5], [2, 2, 2], [2, 2, 2])
    assert data.test_names()[1] == [f"test/{row}" for row in range(6)]
    validated = load(saved(tmp_path / "other", train=rows(LABELS), dev=small))
    assert validated.test_names()[1][0] == "dev/0"
    trains = load(tmp_path / "other", test_fraction=0, val="split")
    assert (trains.test_set, trains.val_counts) == (None, [2, 2, 2])
    both = saved(tmp_path / "both", test=small, validation=small)
    assert "has no split train, but test, validation" in str(refusal(both))


def test_a_split_without_labels_is_not_used(tmp_path, caplog):
    secret = rows([-1, -1, -1])
    small = rows(["cat", "dog", "emu"] * 2, first=100)
    data = load(saved(tmp_path / "set", train=rows(LABELS), test=secret, validation=small))
    assert data.test_names()[1][0] == "validation/0"
    assert "split test of" in caplog.text
    error = refusal(saved(tmp_path / "other", train=rows([-1, *LABELS[1:]]), test=small))
    assert "1 of 40 rows of train have no label: train/0" in str(error)


@pytest.mark.parametrize(
    ("kind", "labels", "names"),
    [
        ("string", [label.upper() for label in LABELS], ["CAT", "DOG", "EMU"]),
        ("int64", [{"cat": 10, "dog": 9, "emu": 2}[label] for label in LABELS], ["2", "9", "10"]),
    ],
)
def test_labels_that_are_text_or_numbers(tmp_path, kind, labels, names):
    data = load(saved(tmp_path / "set", train=rows(labels, datasets.Value(kind), name="kind")), label_column="kind")
    assert data.class_names == names
    assert sorted(data.class_counts) == [6, 10, 16]


@pytest.mark.parametrize("form", ["one file", "folder", "arrow"])
def test_parquet_and_arrow(tmp_path, form):
    table, folder = rows(LABELS), tmp_path / "set"
    folder.mkdir()
    path = folder if form == "folder" else folder / "train.parquet"
    if form == "arrow":
        table.save_to_disk(folder)
        path = folder
    else:
        table.to_parquet(folder / "train.parquet")
    data = load(path)
    assert data.class_names == ["cat", "dog", "emu"]
    assert data.class_counts == [16, 10, 6]


def test_a_folder_of_images_as_the_library_takes_it(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    folder = ImageFolderLT(root)
    folder.setup()
    for in_memory in (True, False):
        data = load(root, in_memory=in_memory, image_size=8)
        assert (data.class_names, data.class_counts) == (folder.class_names, folder.class_counts)
    streamed = data.test_set.__getitems__(IndexBatch(torch.arange(8), 0, 0)).images
    assert torch.equal(streamed, folder.test_set.images)
    assert data.test_digest == ImageFolderLT(root, in_memory=False).for_run().test_digest


def test_a_stream_reads_what_memory_has(tmp_path):
    path = saved(tmp_path / "set", train=rows(LABELS))
    memory, stream = load(path), load(path, in_memory=False, image_size=8, num_workers=0)
    assert stream.class_counts == memory.class_counts
    batch = IndexBatch(torch.arange(len(stream.test_set)), 0, 0)
    assert torch.equal(stream.test_set.__getitems__(batch).images, memory.test_set.images)
    elsewhere = pickle.loads(pickle.dumps(stream.train_set))  # as a decoding process gets it
    assert torch.equal(elsewhere.__getitems__(batch).images, stream.train_set.__getitems__(batch).images)
    assert len(pickle.dumps(stream.train_set)) < 100_000
    assert stream.train_set.fingerprint() == load(path, in_memory=False, image_size=8).train_set.fingerprint()


def test_a_stream_differs_where_its_images_do(tmp_path):
    one = load(saved(tmp_path / "one", train=rows(LABELS)), in_memory=False, image_size=8).train_set
    other = rows(LABELS, first=30)
    two = load(saved(tmp_path / "two", train=other), in_memory=False, image_size=8).train_set
    assert one.contents_digest() != two.contents_digest()
    assert one.fingerprint() != two.fingerprint()


def test_duplicates_are_found_in_arrow(tmp_path):
    path = saved(tmp_path / "set", train=rows(LABELS), test=rows(["cat", "dog", "emu"]))
    assert load(path).facts["duplicates"] == "1 of 3 test images is in training too"  # as cat/0 has the number 0
    assert "1 of 3 test images is" in load(path, in_memory=False, image_size=8).facts["duplicates"]


def test_groups_folds_and_a_split_file(tmp_path):
    who = [str(row // 2) for row in range(40)]
    path = saved(tmp_path / "set", train=rows(LABELS, more={"who": who}))
    data = load(path, group_column="who", test_fraction=0.25)
    tested = {who[int(name.partition("/")[2])] for name in data.test_names()[1]}
    assert len(tested) == len(data.test_names()[1]) / 2
    folds = [load(path, folds=4, fold=fold) for fold in range(4)]
    assert sorted(name for data in folds for name in data.test_names()[1]) == sorted(
        f"train/{row}" for row in range(40)
    )
    missing = saved(tmp_path / "other", train=rows(LABELS, more={"who": [None, *who[1:]]}))
    assert "1 of 40 rows of train have no who: train/0" in str(refusal(missing, group_column="who"))
    file = tmp_path / "split.csv"
    file.write_text("path,part\n" + "".join(f"train/{row},{'test' if row % 4 else 'train'}\n" for row in range(40)))
    assert load(path, split=file).class_counts == [5, 3, 2]


def test_what_cannot_be_read_is_named(tmp_path):
    table = rows(LABELS).to_dict()
    table["image"][3] = {"bytes": b"no image", "path": None}
    table["image"][5] = None
    broken = datasets.Dataset.from_dict(table, features=rows(LABELS).features)
    path = saved(tmp_path / "set", train=broken)
    assert "train/3: is no image" in str(refusal(path, test_fraction=0))
    assert "train/5: cannot be read (the row has no image)" in str(refusal(path, test_fraction=0))
    data = load(path, test_fraction=0, on_error="skip")
    assert (sum(data.class_counts), len(data.skipped)) == (38, 2)


def test_columns_that_there_are_not_are_named(tmp_path):
    path = saved(tmp_path / "set", train=rows(LABELS))
    for key in ("image_column", "label_column", "group_column"):
        error = refusal(path, **{key: "img"})
        assert (error.key, str(error)) == (key, f"{key} is 'img', but split train has only the columns image, label")
    assert refusal(path, image_column="label").key == "image_column"
    assert refusal(path, label_column="image").key == "label_column"


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"path": "./nowhere"}, "path", "cannot be loaded: nowhere"),
        ({"path": "/nowhere/at/all"}, "path", "names no file or folder: /nowhere"),
        ({"path": "nobody/nothing"}, "path", "cannot be loaded: nobody/nothing (ConnectionError"),
        ({"revision": "main"}, "revision", "is only for data sets of the hub"),
        ({"pack": "pack"}, "pack", "is only for data sets of image files"),
        ({"groups": "(a)"}, "groups", "data.group_column"),
        ({"path": "notes.txt"}, "path", "neither Parquet nor Arrow"),
    ],
)
def test_what_cannot_be_loaded(tmp_path, monkeypatch, options, key, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    saved(tmp_path / "set", train=rows(LABELS))
    error = refusal(**{"path": "set", **options})
    assert error.key == key
    assert words in str(error)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *others, **more):
        if name == "datasets":
            raise ImportError(name="datasets")
        return real(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    error = refusal(tmp_path)
    assert str(error) == 'data=huggingface needs datasets: pip install "oponm[huggingface]"'


def test_sixteen_bits_and_gray(tmp_path):
    def deep(value: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.full((6, 6), value, dtype=np.uint16)).save(buffer, "PNG")
        return buffer.getvalue()

    table = {"image": [{"bytes": deep(100 * row), "path": None} for row in range(40)], "label": LABELS}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    path = saved(tmp_path / "set", train=datasets.Dataset.from_dict(table, features=features))
    data = load(path, channels=1, test_fraction=0)
    assert (data.image_shape, data.pixel_max) == ((1, 6, 6), 4095)
    assert data.train_set.images[39].unique().tolist() == [3900 * 256 // 4096]
