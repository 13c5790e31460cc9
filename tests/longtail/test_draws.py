from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.longtail import draw_indices, exponential_counts, read_indices, split_digest

CIFAR = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar_label_order.npz"
SHAPES = {"cifar10": (5000, 10), "cifar100": (500, 100)}
GOLDEN = {
    ("cifar10", "ldam"): "f7669c469c9ddf9afcfabc0b127018ebfa21ac9ecddbe2642455be26c359cb8d",
    ("cifar10", "m2m"): "1c8f9fd307060fad95ca5b340ecd9e2ca12dda1933c1055418facd2ec9b5cb92",
    ("cifar100", "ldam"): "644b6d28caa663f356ee55c541b55da2f8d0c4461cc0b2161f99c2fbf0273456",
    ("cifar100", "m2m"): "baca8d6631515fffebdadcca13d1ba8ed12fa5c9d12ebf3b1f0680e83726d99a",
}
LABELS = np.random.default_rng(5).integers(0, 4, 400)
COUNTS = [60, 30, 9, 1]
DRAWS = ["ldam", "m2m", "random"]


@pytest.fixture(scope="module")
def cifar_labels() -> dict[str, np.ndarray]:
    if not CIFAR.is_file():
        pytest.skip(f"the label order of CIFAR is not here: {CIFAR}")
    with np.load(CIFAR) as arrays:
        return {name: arrays[f"{name}_train"] for name in SHAPES}


def legacy_generator(seed: int) -> random.Random:
    """Python's Mersenne Twister in the state of ``numpy.random.seed(seed)``."""
    state = [seed]
    for i in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) % 2**32)
    generator = random.Random()
    generator.setstate((3, (*state, 624), None))
    return generator


def legacy_shuffle(items: list[int], generator: random.Random) -> None:
    """Fisher-Yates from the end; a position is drawn by masking and rejection."""
    for last in range(len(items) - 1, 0, -1):
        mask = 2 ** last.bit_length() - 1
        position = generator.getrandbits(32) & mask
        while position > last:
            position = generator.getrandbits(32) & mask
        items[last], items[position] = items[position], items[last]


def reference_draw(labels: np.ndarray, counts: list[int], draw: str, seed: int = 0) -> list[int]:
    generator, chosen = legacy_generator(seed), []
    members = [[] for _ in counts]
    for index, label in enumerate(labels.tolist()):
        members[label].append(index)
    for own, count in zip(members, counts, strict=True):
        if draw == "ldam":
            legacy_shuffle(own, generator)
        chosen += own[:count]
    return chosen


@pytest.mark.parametrize("draw", ["ldam", "m2m"])
@pytest.mark.parametrize("dataset", SHAPES)
def test_the_published_subsets(cifar_labels, dataset, draw):
    counts = exponential_counts(*SHAPES[dataset], 100)
    indices = draw_indices(cifar_labels[dataset], counts, draw)
    assert indices.tolist() == reference_draw(cifar_labels[dataset], counts, draw)
    assert split_digest(indices) == GOLDEN[dataset, draw]


@pytest.mark.parametrize("imbalance_ratio", [10, 50, 100, 200])
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dataset", SHAPES)
def test_cifar_draws_have_their_counts(cifar_labels, dataset, draw, imbalance_ratio):
    labels, counts = cifar_labels[dataset], exponential_counts(*SHAPES[dataset], imbalance_ratio)
    indices = draw_indices(labels, counts, draw)
    assert labels[indices].tolist() == [label for label, count in enumerate(counts) for _ in range(count)]
    assert len(set(indices.tolist())) == len(indices)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_ldam_is_the_legacy_generator(seed):
    indices = draw_indices(LABELS, COUNTS, "ldam", seed)
    assert indices.tolist() == reference_draw(LABELS, COUNTS, "ldam", seed)


def test_m2m_is_the_dataset_order():
    assert draw_indices([2, 0, 1, 0, 2, 2, 0, 1], [2, 1, 2], "m2m").tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize("draw", DRAWS)
def test_a_draw_is_a_pure_function(draw):
    labels = LABELS.copy()
    before = np.random.get_state()  # noqa: NPY002
    first = draw_indices(labels, COUNTS, draw, seed=3)
    np.random.seed(9)  # noqa: NPY002
    assert first.tolist() == draw_indices(labels, COUNTS, draw, seed=3).tolist()
    np.random.set_state(before)  # noqa: NPY002
    draw_indices(labels, COUNTS, draw, seed=3)
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert np.array_equal(labels, LABELS)
    assert first.dtype == np.int64


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(
    "convert", [np.uint8, np.int32, np.ndarray.tolist, torch.as_tensor], ids=["uint8", "int32", "list", "tensor"]
)
def test_the_type_of_the_labels_does_not_matter(draw, convert):
    indices = draw_indices(convert(LABELS), COUNTS, draw)
    assert indices.tolist() == draw_indices(LABELS, COUNTS, draw).tolist()


@pytest.mark.parametrize("draw", DRAWS)
def test_seeds_differ_except_for_m2m(draw):
    draws = {split_digest(draw_indices(LABELS, COUNTS, draw, seed)) for seed in range(5)}
    assert len(draws) == (1 if draw == "m2m" else 5)


@pytest.mark.parametrize("draw", DRAWS)
def test_subsets_of_one_seed_are_nested(draw):
    small, large = (set(draw_indices(LABELS, counts, draw, seed=2).tolist()) for counts in (COUNTS, [70, 30, 40, 2]))
    assert small < large


def test_random_draws_reach_every_image_alike():
    labels = np.repeat([0, 1], 20)
    hits = np.zeros(40)
    for seed in range(600):
        hits[draw_indices(labels, [10, 5], "random", seed)] += 1
    expected = np.repeat([300.0, 150.0], 20)
    assert np.all(np.abs(hits - expected) < 5 * np.sqrt(expected))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("counts", [[0, 2, 0], [3, 0, 1]], ids=str)
def test_a_class_may_be_left_out(draw, counts):
    labels = np.array([0, 1, 2] * 3)
    assert np.bincount(labels[draw_indices(labels, counts, draw)], minlength=3).tolist() == counts


@pytest.mark.parametrize("draw", DRAWS)
def test_the_whole_set_may_be_drawn(draw):
    counts = np.bincount(LABELS).tolist()
    assert sorted(draw_indices(LABELS, counts, draw).tolist()) == list(range(400))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"draw": "cui"}, "draw must be one of ldam, m2m, random, or a file of indices, got 'cui'"),
        ({"draw": None}, "draw must be one of"),
        ({"seed": -1}, "draw_seed must be a whole number of at least 0, got -1"),
        ({"seed": 0.5}, "draw_seed must be"),
        ({"counts": [2, 3]}, "class 1 has 2 images, 3 are asked for"),
        ({"counts": [2, 1, 1]}, "class 2 has 0 images, 1 are asked for"),
        pytest.param({"counts": [2, -1]}, "counts must be", id="negative count"),
        pytest.param({"seed": 2**32}, "draw_seed", id="seed beyond the legacy generator's"),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(InputError, match=words):
        draw_indices(**{"labels": [0, 0, 0, 1, 1], "counts": [2, 1], **changes})


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, ">i8", np.uint64], ids=str)
def test_an_array_of_indices_is_read(tmp_path, dtype):
    np.save(tmp_path / "subset.npy", np.array([4, 0, 250], dtype=dtype))
    indices = read_indices(tmp_path / "subset.npy", 251)
    assert indices.tolist() == [4, 0, 250]
    assert indices.dtype == np.dtype(np.int64)


@pytest.mark.parametrize("text", ["4\n0\n2\n", "4\n0\n2", "4\r\n0\r\n2\r\n", "\n4\n\n 0 \n2\n\n"], ids=repr)
@pytest.mark.parametrize("as_path", [str, Path])
def test_a_text_of_indices_is_read(tmp_path, text, as_path):
    (tmp_path / "subset.txt").write_bytes(text.encode())
    assert read_indices(as_path(tmp_path / "subset.txt"), 5).tolist() == [4, 0, 2]


@pytest.mark.parametrize("dataset", SHAPES)
def test_a_written_draw_is_read_back(cifar_labels, tmp_path, dataset):
    labels = cifar_labels[dataset]
    indices = draw_indices(labels, exponential_counts(*SHAPES[dataset], 100))
    np.save(tmp_path / "subset.npy", indices)
    np.savetxt(tmp_path / "subset.txt", indices, fmt="%d")
    for file in ("subset.npy", "subset.txt"):
        assert np.array_equal(read_indices(tmp_path / file, len(labels)), indices)


NOT_A_LIST = "not a list of whole numbers"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", NOT_A_LIST),
        (b"\n \n", NOT_A_LIST),
        (b"1\n2.5\n", NOT_A_LIST),
        (b"1\nimages/cat.png\n", NOT_A_LIST),
        (b"1,2,3\n", NOT_A_LIST),
        (b"\xff\xfe\x00\x80", NOT_A_LIST),
        (b"9" * 30, NOT_A_LIST),
        (b"0\n5\n", r"index 5 or 0 lies outside \[0, 5\)"),
        (b"0\n-1\n", r"index 0 or -1 lies outside \[0, 5\)"),
        (b"3\n1\n3\n", "is in it twice"),
    ],
)
def test_a_bad_text_is_refused(tmp_path, content, words):
    file = tmp_path / "subset.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        read_indices(file, 5)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([], dtype=np.int64), NOT_A_LIST),
        (np.array([0.0, 1.0]), NOT_A_LIST),
        (np.array([True, False]), NOT_A_LIST),
        (np.array([[0, 1]]), NOT_A_LIST),
        (np.array(3), NOT_A_LIST),
        (np.array(["0", "1"]), NOT_A_LIST),
        (np.array([0, 5]), "outside"),
        (np.array([0, 2**63], dtype=np.uint64), "outside"),
        (np.array([-1, 0], dtype=np.int8), "outside"),
        (np.array([3, 1, 3]), "is in it twice"),
    ],
    ids=repr,
)
def test_a_bad_array_is_refused(tmp_path, array, words):
    file = tmp_path / "subset.npy"
    np.save(file, array)
    with pytest.raises(InputError, match=words) as error:
        read_indices(file, 5)
    assert str(file) in str(error.value)


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_a_pickled_array_is_refused_unopened(tmp_path):
    file = tmp_path / "subset.npy"
    np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=NOT_A_LIST):
        read_indices(file, 5)
    assert not Trap.sprung


def array_bytes(header: bytes, data: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0\n1\n",
        b"\x93NUMPY",
        array_bytes(b"garbage\n", b""),
        array_bytes(b"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", bytes(8)),
        pytest.param(
            array_bytes(b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,), }\n", bytes(8)),
            id="claims to be huge",
        ),
        pytest.param(b"PK\x03\x04garbage", id="broken archive"),
    ],
)
def test_a_damaged_array_is_refused(tmp_path, content):
    file = tmp_path / "subset.npy"
    file.write_bytes(content)
    with pytest.raises(InputError, match=NOT_A_LIST):
        read_indices(file, 5)


def test_an_archive_of_arrays_is_refused(tmp_path):
    with open(tmp_path / "subset.npy", "wb") as file:
        np.savez(file, indices=np.arange(3))
    with pytest.raises(InputError, match=NOT_A_LIST):
        read_indices(tmp_path / "subset.npy", 5)


@pytest.mark.parametrize("name", ["", "absent.txt", "absent.npy"])
def test_a_missing_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"draw names no file: .*ldam, m2m, random") as error:
        read_indices(tmp_path / name, 5)
    assert error.value.key == "draw"
