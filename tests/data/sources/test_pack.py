from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources.pack import DONE, FORMAT, IMAGES, INDEX, Entry, Pack, Stamp, UnusablePack, header_line
from oponm.data.sources.pack import PackWriter
from oponm.errors import InputError
from tests.data.sources.packs import few_at_once

SIZES = [(2, 3), (5, 1), None, (4, 4), (1, 7)]
NAMES = ["a/1.png", "b c.png", "d\udcff.jpg", "ü.png", "e.png"]


def images() -> list[np.ndarray | None]:
    random = np.random.default_rng(0)
    return [size and random.integers(0, 255, (*size, 3), dtype=np.uint8) for size in SIZES]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A pack that was written two images at once."""
    few_at_once(monkeypatch, 2)
    writer = PackWriter(tmp_path, "as they are", [Stamp(name, i, i + 10**18) for i, name in enumerate(NAMES)])
    for image in images():
        writer.add(image, "" if image is not None else "is no image")
    writer.finish()
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(UnusablePack) as error:
        Pack(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_written_is_read(folder):
    pack = Pack(folder)
    assert pack.recipe == "as they are"
    assert list(pack.rows.items()) == [(name, row) for row, name in enumerate(NAMES)]
    assert pack.entries[2] == Entry(Stamp(NAMES[2], 2, 2 + 10**18), 0, 0, 0, "is no image")
    for row, image in enumerate(images()):
        if image is not None:
            assert np.array_equal(pack.image(row), image)
    pack.verify()
    assert pack.num_bytes == 3 * (6 + 5 + 16 + 7)
    assert "4 images" in pack.description()


def test_a_pack_is_sent_to_another_process_without_its_pixels(folder):
    pack = Pack(folder)
    assert pack.image(0).any()
    sent = pickle.dumps(pack)
    assert pack.image(3).tobytes() not in sent
    assert np.array_equal(pickle.loads(sent).image(3), pack.image(3))


def test_images_are_a_view_of_the_file(folder):
    assert not Pack(folder).image(0).flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        Pack(folder).image(0)[:] = 0


def test_no_pack(tmp_path):
    assert refusal(tmp_path) == refusal(tmp_path / "nowhere") == "there is none"
    (tmp_path / INDEX).touch()
    assert refusal(tmp_path) == "it is not complete yet"
    (tmp_path / "file").touch()
    assert "cannot be read" in refusal(tmp_path / "file")


@pytest.mark.parametrize("change", [-1, 1, -102])
def test_pixels_of_another_length_are_refused(folder, change):
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(content[:change] if change < 0 else content + b"x")
    assert refusal(folder) == f"images.bin has {102 + change} bytes, 102 belong there"


def test_missing_pixels_are_refused(folder):
    (folder / IMAGES).unlink()
    assert refusal(folder) == "images.bin has 0 bytes, 102 belong there"


@pytest.mark.parametrize("name", [INDEX, DONE])
def test_every_changed_byte_of_the_index_and_of_its_checksum_is_seen(folder, name):
    content = (folder / name).read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (folder / name).write_bytes(damaged)
        assert refusal(folder) == "index.jsonl is damaged"
    for length in range(len(content)):
        (folder / name).write_bytes(content[:length])
        assert refusal(folder) == "index.jsonl is damaged"


def test_every_changed_pixel_is_seen_and_placed(folder):
    content = (folder / IMAGES).read_bytes()
    for position, name in ((0, "a/1.png"), (18, "b c.png"), (60, "ü.png"), (101, "e.png")):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (folder / IMAGES).write_bytes(damaged)
        with pytest.raises(UnusablePack, match=f"is damaged at {name}"):
            Pack(folder).verify()


def test_only_what_is_asked_for_is_verified(folder):
    damaged = bytearray((folder / IMAGES).read_bytes())
    damaged[40] ^= 1  # in the fourth image
    (folder / IMAGES).write_bytes(damaged)
    Pack(folder).verify(np.array([4, 0, 1]))
    with pytest.raises(UnusablePack):
        Pack(folder).verify(np.array([0, 3]))


def test_another_format_is_refused(tmp_path):
    header = header_line("from the future").replace(b"2", b"3")
    (tmp_path / INDEX).write_bytes(header)
    (tmp_path / DONE).write_text(hashlib.sha256(header).hexdigest())
    assert refusal(tmp_path) == f"index.jsonl is of format {FORMAT + 1}, not {FORMAT}"


def test_a_pack_made_anew_while_in_use_is_noticed(folder):
    pack, opened = Pack(folder), Pack(folder)
    before = opened.image(0).copy()
    other = folder / "other"
    other.write_bytes(bytes(102))
    other.replace(folder / IMAGES)
    assert np.array_equal(opened.image(0), before)  # what is mapped already stays
    with pytest.raises(InputError, match="made again while in use"):
        pack.image(0)


def test_a_pack_of_nothing_that_could_be_read(tmp_path):
    writer = PackWriter(tmp_path, "as they are", [Stamp("a.png", 0, 0)])
    writer.add(None, "is no image")
    writer.finish()
    Pack(tmp_path).verify()
    assert Pack(tmp_path).num_bytes == 0
