from __future__ import annotations

import pytest
from PIL import Image

from oponm.cli import data as command
from oponm.data import DigitsLT
from tests.cli.command import QUICK, files_below, oponm
from tests.data.sources.packs import pictures


def test_check_tells_what_is_there_and_writes_nothing(tmp_path):
    done = oponm("data", "check", "data.val=split", "data.val_size=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = DigitsLT(imbalance_ratio=50, val="split", val_size=10)
    data.setup()
    assert data.digest in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    for label, count in enumerate(data.class_counts):
        assert [str(label), str(count), "10", "50"] in rows
    assert not files_below(tmp_path)


def test_show_draws_a_sheet(tmp_path):
    (tmp_path / "data.png").write_text("mine")
    done = oponm("data", "show", "output_dir=looks", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "files: looks/data.png" in done.stdout
    assert files_below(tmp_path) == {"data.png", "looks/data.png"}
    assert (tmp_path / "data.png").read_text() == "mine"
    again = oponm("data", "show", "output_dir=looks", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (
        2,
        "oponm: output_dir holds data.png already: choose another folder\n",
    )
    with Image.open(tmp_path / "looks" / "data.png") as sheet:
        assert min(sheet.size) > 500
        assert len(sheet.convert("L").getcolors()) > 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "check, prepare, show"),
        (["prepair"], "check, prepare, show"),
        (["check", "data=nowhere"], "digits_lt"),
        (["show", "data.imbalance_ratio=1000"], "data.imbalance_ratio"),
        (["check", "data=image_folder", "data.root=nowhere"], "data.root"),
        (["prepare", "data=image_folder", "data.root=nowhere"], "data.pack must name a folder"),
        (["check", "data=image_folder", "data.root="], "data.root is empty"),
        (["check", "data.draw_seed=-1"], "data.draw_seed must be"),
        (["check", "data.val_size=1.0"], "data.val_size must be"),
        (["check", "data.on_duplicate=keep"], "data.on_duplicate must be one of warn, drop, raise"),
    ],
    ids=str,
)
def test_bad_input(tmp_path, arguments, words):
    done = oponm("data", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert not files_below(tmp_path)


def test_what_is_embedded_needs_no_preparing(tmp_path):
    done = oponm("data", "prepare", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "1297 training and 500 test images are there; nothing else is to be prepared\n",
    )


def test_a_pack_is_prepared_checked_and_trained_on(tmp_path):
    files = pictures(tmp_path / "photos", 30, damaged=(4,))
    arguments = ["data=image_folder", "data.root=photos", "data.pack=pack", "data.image_size=8", "data.on_error=skip"]
    prepared = oponm("data", "prepare", *arguments, cwd=tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    assert f"left out: photos/b/{files[4].name}: is no image" in prepared.stdout
    assert "pack: pack, 29 images, 5.6 kB, squares of 8 pixels" in prepared.stdout
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "pack").iterdir()}
    checked = oponm("data", "check", *arguments, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "pack: pack, 29 images, 5.6 kB, squares of 8 pixels, by read_image: whole, all checksums" in checked.stdout
    trained = oponm("train", *arguments, *QUICK, "output_dir=run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "pack").iterdir()} == before


def test_a_stream_is_checked_without_decoding_it(tmp_path):
    pictures(tmp_path / "photos", 30, damaged=(4, 5, 6, 29))
    arguments = ["data=image_folder", "data.root=photos", "data.in_memory=false", "data.image_size=8"]
    done = oponm("data", "check", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mean and std: own, measured when training starts" in done.stdout
    assert "suggestion: method=erm (docs/which_method.md)" in done.stdout


def test_check_takes_the_form_of_images_and_the_length_of_the_run(tmp_path, capsys):
    pictures(tmp_path / "photos", 30)
    form = ["data.channels=1", "data.image_size=[8,12]", "data.resize=pad", "data.in_memory=false"]
    folder = ["data=image_folder", f"data.root={tmp_path / 'photos'}", "data.imbalance_ratio=4"]
    command.run(["check", *folder, *form, "trainer.max_epochs=10"])
    shown = capsys.readouterr().out
    assert "images 8x12 of 1 channels, data.resize=pad" in shown
    assert "in the deferred phase of 10 epochs" in shown


def test_interrupted_it_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(config: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "make_data", interrupt)
    with pytest.raises(SystemExit) as stop:
        command.run(["prepare"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "oponm: interrupted; run again, and it continues from there\n"
