from __future__ import annotations

import logging
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oponm.data.decode import Form, open_rgb, read_image
from oponm.data.sources.pack import DONE, IMAGES, INDEX, Pack, UnusablePack
from oponm.data.sources.prepare import Packing, Recipe, scaled, squares
from oponm.errors import InputError
from tests.data.sources.packs import content, few_at_once, fork, packing, pictures, wait


@pytest.fixture(autouse=True)
def three_at_once(monkeypatch):
    few_at_once(monkeypatch)


def slowly(log: Path, recipe: Recipe, seconds: float = 0.02) -> Recipe:
    """The recipe, taking its time and keeping a list of what it decodes."""

    def decode(path: Path) -> np.ndarray:
        time.sleep(seconds)
        with log.open("a") as opened:
            opened.write(f"{path.name}\n")
        return recipe.decode(path)

    return recipe._replace(decode=decode)


def refusal(job: Packing, what: str = "pack") -> InputError:
    with pytest.raises(InputError) as error:
        job.make() if what == "make" else job.pack
    assert "\n" not in str(error.value)
    return error.value


@pytest.mark.parametrize("size", [4, 12, 30])
def test_squares_are_what_reading_gives(tmp_path, size):
    files = pictures(tmp_path / "set")
    job = packing(tmp_path / "set", tmp_path / "pack", squares(Form(size)))
    job.make()
    for file, row in zip(files, job.rows(files), strict=True):
        assert np.array_equal(job.pack.image(row).transpose(2, 0, 1), read_image(file, Form(size)).numpy())


def test_whole_images_are_what_the_files_hold(tmp_path):
    files = pictures(tmp_path / "set")
    for short_side in (None, 40):
        job = packing(tmp_path / "set", tmp_path / f"{short_side}", scaled(short_side))
        job.make()
        for file, row in zip(files, job.rows(files), strict=True):
            assert np.array_equal(job.pack.image(row), np.array(open_rgb(file)))


@pytest.mark.parametrize(
    ("size", "scaled_to"), [((400, 300), (27, 20)), ((300, 400), (20, 27)), ((25, 20), (25, 20)), ((9, 90), (9, 90))]
)
def test_large_images_are_scaled_to_their_short_side(tmp_path, size, scaled_to):
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    picture.save(tmp_path / "a.png")
    found = scaled(20).decode(tmp_path / "a.png")
    assert found.shape == (scaled_to[1], scaled_to[0], 3)
    assert np.array_equal(found, np.array(picture.resize(scaled_to, Image.Resampling.BICUBIC)))


def test_it_is_done_once(tmp_path):
    files = pictures(tmp_path / "set", 5)
    log = tmp_path / "log"
    for _ in range(2):
        pack = packing(tmp_path / "set", tmp_path / "pack", slowly(log, scaled(12))).make()
        assert pack.rows.keys() == {file.relative_to(tmp_path / "set").as_posix() for file in files}
        assert sorted(log.read_text().split()) == sorted(file.name for file in files)


def test_killed_and_started_again_it_makes_the_same_pack(tmp_path):
    files = pictures(tmp_path / "set", 20, damaged=(4, 11))
    packing(tmp_path / "set", tmp_path / "whole").make()
    log, index = tmp_path / "log", tmp_path / "pack" / INDEX
    job = packing(tmp_path / "set", tmp_path / "pack", slowly(log, scaled(12)))
    for lines in (7, 13):
        child = fork(job.make)
        while not (index.exists() and index.read_bytes().count(b"\n") >= lines):
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        assert wait(child) == -signal.SIGKILL
        with pytest.raises(UnusablePack, match="not complete"):
            Pack(tmp_path / "pack")
    job.make()
    assert content(tmp_path / "pack") == content(tmp_path / "whole")
    assert len(log.read_text().split()) < 2 * len(files)


def test_of_two_at_once_one_works_and_the_other_waits(tmp_path, caplog):
    files = pictures(tmp_path / "set", 10)
    log = tmp_path / "log"
    job = packing(tmp_path / "set", tmp_path / "pack", slowly(log, scaled(12)))
    child = fork(job.make)
    while not (tmp_path / "pack" / INDEX).exists():
        time.sleep(0.002)
    job.make()
    assert f"another process is preparing {tmp_path / 'pack'}: waiting for it" in caplog.text
    assert wait(child) == 0
    assert sorted(log.read_text().split()) == sorted(file.name for file in files)


class Killer(logging.Handler):
    """Kills a process as soon as this one waits for it."""

    def __init__(self, child: int) -> None:
        super().__init__()
        self.child = child

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting for it" in record.getMessage():
            os.kill(self.child, signal.SIGKILL)


def test_one_waits_for_another_that_is_killed_and_goes_on(tmp_path, caplog):
    pictures(tmp_path / "set", 15)
    log = tmp_path / "log"
    packing(tmp_path / "set", tmp_path / "whole").make()
    job = packing(tmp_path / "set", tmp_path / "pack", slowly(log, scaled(12)))
    child = fork(job.make)
    while not (tmp_path / "pack" / INDEX).exists():
        time.sleep(0.002)
    killer = Killer(child)
    logging.getLogger().addHandler(killer)
    try:
        job.make()
    finally:
        logging.getLogger().removeHandler(killer)
    assert wait(child) == -signal.SIGKILL
    assert "waiting for it" in caplog.text
    assert content(tmp_path / "pack") == content(tmp_path / "whole")


CHANGES = {
    "content": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "time": lambda file: os.utime(file, ns=(0, file.stat().st_mtime_ns + 1)),
    "new": lambda file: (file.parent / "new.png").write_bytes(file.read_bytes()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_is_named_and_packed_again(tmp_path, change):
    files = pictures(tmp_path / "set", 6)
    packing(tmp_path / "set", tmp_path / "pack").make()
    CHANGES[change](files[4])
    error = refusal(packing(tmp_path / "set", tmp_path / "pack"))
    name = "b/new.png" if change == "new" else "b/04.png"
    assert error.key == "pack"
    assert f"1 of {6 + (change == 'new')} files are new or have changed since, first {name}" in error.message
    assert "run 'oponm data prepare' with the same settings" in error.message
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert packing(tmp_path / "set", tmp_path / "pack").pack.entries


def test_a_file_that_is_gone_changes_nothing_for_the_others(tmp_path):
    files = pictures(tmp_path / "set", 6)
    packing(tmp_path / "set", tmp_path / "pack").make()
    before = content(tmp_path / "pack")
    files[0].unlink()
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert content(tmp_path / "pack") == before


def test_a_data_set_may_be_moved_with_its_pack(tmp_path):
    pictures(tmp_path / "set", 3)
    packing(tmp_path / "set", tmp_path / "set" / "pack").make()
    (tmp_path / "set").rename(tmp_path / "elsewhere")
    assert len(packing(tmp_path / "elsewhere", tmp_path / "elsewhere" / "pack").pack.entries) == 3


def test_another_recipe_is_named_and_packed_again(tmp_path):
    pictures(tmp_path / "set", 3)
    packing(tmp_path / "set", tmp_path / "pack").make()
    job = packing(tmp_path / "set", tmp_path / "pack", squares(Form(8)))
    stored, wanted = "whole images, short side at most 12 pixels", "squares of 8 pixels"
    assert f"the pack holds {stored}, but the config asks for {wanted}" in refusal(job).message
    assert job.make().recipe == squares(Form(8)).name


@pytest.mark.parametrize("torn", [INDEX, DONE])
@pytest.mark.parametrize("length", [0, 30])
def test_a_torn_pack_is_refused_and_made_again(tmp_path, torn, length):
    pictures(tmp_path / "set", 6)
    packing(tmp_path / "set", tmp_path / "pack").make()
    before = content(tmp_path / "pack")
    file = tmp_path / "pack" / torn
    file.write_bytes(file.read_bytes()[:length])
    assert "index.jsonl is damaged" in refusal(packing(tmp_path / "set", tmp_path / "pack")).message
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert content(tmp_path / "pack") == before


@pytest.mark.parametrize("length", [0, 1000])
def test_a_truncated_pack_is_named_and_made_again(tmp_path, length):
    pictures(tmp_path / "set", 6)
    packing(tmp_path / "set", tmp_path / "pack").make()
    before = content(tmp_path / "pack")
    (tmp_path / "pack" / IMAGES).write_bytes(before[0][:length])
    assert (
        f"images.bin has {length} bytes, {len(before[0])} belong"
        in refusal(packing(tmp_path / "set", tmp_path / "pack")).message
    )
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert content(tmp_path / "pack") == before


def test_a_changed_pixel_is_found_by_verifying_and_made_again(tmp_path):
    files = pictures(tmp_path / "set", 6)
    job = packing(tmp_path / "set", tmp_path / "pack")
    job.make()
    before = content(tmp_path / "pack")
    (tmp_path / "pack" / IMAGES).write_bytes(bytes([before[0][0] ^ 1]) + before[0][1:])
    with pytest.raises(InputError, match=r"is damaged at a/00\.png"):
        packing(tmp_path / "set", tmp_path / "pack").verify(job.rows(files))
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert content(tmp_path / "pack") == before


def test_a_missing_pack_is_named(tmp_path):
    pictures(tmp_path / "set", 2)
    error = refusal(packing(tmp_path / "set", tmp_path / "pack"))
    assert error.key == "pack"
    reason = "the folder has no pack"
    assert error.message.startswith(f"names no pack that can be read: {tmp_path / 'pack'} ({reason}); run ")
    assert not (tmp_path / "pack").exists()


def test_damaged_files_are_noted(tmp_path):
    files = pictures(tmp_path / "set", 6, damaged=(1, 4))
    job = packing(tmp_path / "set", tmp_path / "pack")
    pack = job.make()
    assert [row for row, entry in enumerate(pack.entries) if entry.error] == job.rows([files[1], files[4]]).tolist()
    assert [error.message.split(":")[0] for error in job.unreadable(pack)] == [str(files[1]), str(files[4])]


def test_a_damaged_file_stops_it_unless_skipped_and_once_mended_it_goes_on(tmp_path):
    files = pictures(tmp_path / "set", 9, damaged=(4,))
    log = tmp_path / "log"
    job = packing(tmp_path / "set", tmp_path / "pack", slowly(log, scaled(12), 0), skip=False)
    assert refusal(job, "make").message.startswith(f"{files[4]}: is no image")
    assert "not complete yet" in refusal(job).message
    files[4].write_bytes(files[3].read_bytes())
    log.unlink()
    job.make()
    assert "00.png" not in log.read_text()
    packing(tmp_path / "set", tmp_path / "whole").make()
    assert content(tmp_path / "pack") == content(tmp_path / "whole")


def test_a_pack_with_damaged_files_is_refused_where_none_is_skipped(tmp_path):
    files = pictures(tmp_path / "set", 3, damaged=(1,))
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert str(files[1]) in refusal(packing(tmp_path / "set", tmp_path / "pack", skip=False), "make").message


def test_an_image_that_occurs_twice_is_packed_once(tmp_path):
    files = pictures(tmp_path / "set", 3)
    job = Packing(tmp_path / "pack", scaled(12), tmp_path / "set", [*files, *files])
    assert len(job.make().entries) == 3
    assert job.rows([files[2], files[0], files[2]]).tolist() == [2, 0, 2]


def test_a_full_disk_is_told_and_what_is_complete_is_kept(tmp_path):
    pictures(tmp_path / "set", 9)
    packing(tmp_path / "set", tmp_path / "whole").make()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        error = refusal(packing(tmp_path / "set", tmp_path / "pack"), "make")
        assert error.key == "pack"
        assert f"cannot be written to: {tmp_path / 'pack'} (File too large)" in error.message

    assert wait(fork(limited)) == 0
    assert "not complete yet" in refusal(packing(tmp_path / "set", tmp_path / "pack")).message
    packing(tmp_path / "set", tmp_path / "pack").make()
    assert content(tmp_path / "pack") == content(tmp_path / "whole")


def test_a_folder_that_cannot_be_is_told(tmp_path):
    pictures(tmp_path / "set", 2)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "pack"):
        error = refusal(packing(tmp_path / "set", folder), "make")
        assert error.key == "pack"
        assert error.message.startswith(f"cannot be written to: {folder} (")


def test_a_file_that_vanishes_is_named(tmp_path):
    files = pictures(tmp_path / "set", 2)
    job = packing(tmp_path / "set", tmp_path / "pack")
    files[1].unlink()
    assert refusal(job, "make").message.startswith(f"{files[1]}: cannot be read")


def test_going_on_is_told(tmp_path, caplog):
    files = pictures(tmp_path / "set", 8, damaged=(7,))
    job = packing(tmp_path / "set", tmp_path / "pack", skip=False)
    job.files = files
    with caplog.at_level(logging.WARNING):
        refusal(job, "make")
        assert not caplog.text
        refusal(job, "make")
    assert f"continuing after 6 of 8 images in {tmp_path / 'pack'}" in caplog.text
