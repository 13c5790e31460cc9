from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources import pack
from oponm.data.sources.pack import DONE, IMAGES, INDEX, Pack, Stamp, UnusablePack
from oponm.data.sources.pack import PackWriter
from tests.data.sources.packs import content, few_at_once, fork, wait

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
