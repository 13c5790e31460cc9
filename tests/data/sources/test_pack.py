from __future__ import annotations

import hashlib
import itertools
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources import pack
from oponm.data.sources.pack import (
    DONE,
    FORMAT,
    IMAGES,
    INDEX,
    Entry,
    Pack,
    PackWriter,
    Stamp,
    UnusablePack,
    header_line,
)
from oponm.errors import InputError
from tests.data.sources.packs import content, few_at_once, fork, wait

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
    assert refusal(tmp_path) == refusal(tmp_path / "nowhere") == "the folder has no pack"
    (tmp_path / INDEX).touch()
    assert refusal(tmp_path) == "the pack is not complete yet"
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
    with pytest.raises(InputError, match="was replaced while this process read it"):
        pack.image(0)


def test_a_pack_of_nothing_that_could_be_read(tmp_path):
    writer = PackWriter(tmp_path, "as they are", [Stamp("a.png", 0, 0)])
    writer.add(None, "is no image")
    writer.finish()
    Pack(tmp_path).verify()
    assert Pack(tmp_path).num_bytes == 0


STAMPS = [Stamp(f"{index}.png", index, 5) for index in range(8)]


@pytest.fixture(autouse=True)
def three_at_once(monkeypatch):
    few_at_once(monkeypatch, 3)


def image(row: int, shade: int = 0) -> np.ndarray | None:
    return None if row == 4 else np.full((2 + row, 3, 3), row + shade, dtype=np.uint8)


def write(folder: Path, stamps: list[Stamp] = STAMPS, shade: int = 0, last: int = 8, recipe: str = "plain") -> int:
    """Go on to image ``last``, and finish behind the eighth; returns how many images were there."""
    folder.mkdir(exist_ok=True)
    writer = PackWriter(folder, recipe, stamps)
    done = writer.done
    for row in range(done, last):
        writer.add(image(row, shade), "is no image" if image(row) is None else "")
    if last == 8:
        writer.finish()
    return done


@pytest.fixture
def whole(tmp_path) -> tuple[bytes, ...]:
    write(tmp_path / "whole")
    return content(tmp_path / "whole")


@pytest.mark.parametrize(("last", "kept"), [(0, 0), (2, 0), (3, 3), (5, 3), (7, 6)])
def test_what_is_complete_is_kept(tmp_path, whole, last, kept):
    write(tmp_path / "pack", last=last)
    with pytest.raises(UnusablePack, match="not complete yet"):
        Pack(tmp_path / "pack")
    assert write(tmp_path / "pack") == kept
    assert content(tmp_path / "pack") == whole


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End this process before its so-manieth call that reaches the disk."""
    calls = itertools.count()
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def call(*arguments, real=real):
            if next(calls) == step:
                os._exit(9)
            return real(*arguments)

        monkeypatch.setattr(pack.os, name, call)


@pytest.mark.parametrize("old", [False, True], ids=["into an empty folder", "in place of another pack"])
def test_killed_at_any_moment_it_is_whole_or_goes_on(tmp_path, monkeypatch, whole, old):
    for step in itertools.count():
        folder = tmp_path / f"{old}{step}"
        if old:
            write(folder, shade=9)
            before = content(folder)
        ended = wait(fork(lambda: (die_at(step, monkeypatch), write(folder))))  # noqa: B023
        try:
            Pack(folder).verify()
            assert content(folder) in ((whole, before) if old else (whole,))
        except UnusablePack:
            assert ended == 9
        if ended == 0:
            break
        write(folder)
        assert content(folder) == whole
        assert {file.name for file in folder.iterdir()} == {IMAGES, INDEX, DONE}
    assert step > 8


@pytest.mark.parametrize("torn", [IMAGES, INDEX])
def test_torn_files_are_cut_to_what_is_complete(tmp_path, whole, torn):
    write(tmp_path / "model", last=7)
    left = (tmp_path / "model" / torn).read_bytes()
    for length in range(0, len(left), 19):
        folder = tmp_path / f"{torn}{length}"
        write(folder, last=7)
        (folder / torn).write_bytes(left[:length])
        assert write(folder) < 6
        assert content(folder) == whole


def test_a_line_without_its_end_is_not_taken(tmp_path, whole):
    write(tmp_path / "pack", last=7)
    index = tmp_path / "pack" / INDEX
    index.write_bytes(index.read_bytes()[:-1])
    assert write(tmp_path / "pack") == 5
    assert content(tmp_path / "pack") == whole


def test_pixels_that_rotted_are_written_again(tmp_path, whole):
    write(tmp_path / "pack", last=7)
    images = tmp_path / "pack" / IMAGES
    damaged = bytearray(images.read_bytes())
    damaged[-1] ^= 1
    images.write_bytes(damaged)
    assert write(tmp_path / "pack") == 5
    assert content(tmp_path / "pack") == whole


def test_files_that_changed_meanwhile_are_written_again(tmp_path):
    changed = [*STAMPS[:5], STAMPS[5]._replace(mtime_ns=6), *STAMPS[6:]]
    write(tmp_path / "whole", changed, shade=1)
    write(tmp_path / "pack", shade=1, last=7)
    assert write(tmp_path / "pack", changed, shade=1) == 5
    assert content(tmp_path / "pack") == content(tmp_path / "whole")


def test_another_recipe_starts_anew(tmp_path):
    write(tmp_path / "whole", recipe="other")
    write(tmp_path / "pack", last=7)
    assert write(tmp_path / "pack", recipe="other") == 0
    assert content(tmp_path / "pack") == content(tmp_path / "whole")


def test_an_old_pack_is_no_pack_from_the_first_new_image_on_but_who_has_it_open_keeps_its_pixels(tmp_path):
    write(tmp_path / "pack", shade=9)
    opened = Pack(tmp_path / "pack").image(0)
    write(tmp_path / "pack", last=7)
    with pytest.raises(UnusablePack, match="not complete yet"):
        Pack(tmp_path / "pack")
    write(tmp_path / "pack")
    assert (Pack(tmp_path / "pack").image(0) == 0).all()
    assert (opened == 9).all()


def test_many_bytes_go_to_the_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "AT_ONCE_BYTES", 40)
    write(tmp_path / "pack", last=2)
    assert write(tmp_path / "pack") == 2
