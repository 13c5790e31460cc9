from __future__ import annotations

import pytest
from PIL import Image

from oponm.data import DigitsLT
from tests.cli.command import files_below, oponm


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
    done = oponm("data", "show", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "data.png") as sheet:
        assert min(sheet.size) > 500
        assert len(sheet.convert("L").getcolors()) > 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "check, show"),
        (["prepare"], "check, show"),
        (["check", "data=nowhere"], "digits_lt"),
        (["show", "data.imbalance_ratio=1000"], "data.imbalance_ratio"),
        (["check", "data=image_folder", "data.root=nowhere"], "data.root"),
    ],
    ids=str,
)
def test_bad_input(tmp_path, arguments, words):
    done = oponm("data", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert not files_below(tmp_path)
