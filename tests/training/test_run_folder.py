from __future__ import annotations

import os
from pathlib import Path

import pytest

from oponm.data import DigitsLT
from oponm.run_files import CONFIG_FILE, LOG_FILE, OVERRIDES_FILE, write_whole
from oponm.training import fit
from oponm.training.run_folder import begin, finished_result


class Killed(BaseException):
    """As SIGKILL, if nothing catches it."""


@pytest.mark.parametrize("at", ["open", "fsync", "replace"])
def test_killed_while_it_is_written_again_the_config_stays_as_it_was(tmp_path, monkeypatch, at):
    begin(tmp_path, {"seed": 0}, ["seed=0"])
    before = {file: (tmp_path / file).read_bytes() for file in (CONFIG_FILE, OVERRIDES_FILE)}

    def killed(*arguments, **options):
        raise Killed

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "open": (Path, "open"), "replace": (Path, "replace")}[at], killed)
    with pytest.raises(Killed):
        begin(tmp_path, {"seed": 0, "resume": "auto"}, ["seed=0", "resume=auto"])
    monkeypatch.undo()
    assert {file: (tmp_path / file).read_bytes() for file in before} == before
    assert finished_result(tmp_path, {"seed": 0}) is None  # and no complaint about other settings


def test_what_says_the_same_is_not_written_again(tmp_path):
    write_whole(tmp_path / "file", "same")
    written = (tmp_path / "file").stat()
    write_whole(tmp_path / "file", "same")
    assert (tmp_path / "file").stat().st_ino == written.st_ino
    write_whole(tmp_path / "file", "other")
    assert (tmp_path / "file").read_text() == "other"


def test_what_a_run_killed_at_its_start_leaves_is_in_nobodys_way(tmp_path):
    for name in (LOG_FILE, OVERRIDES_FILE, f".{CONFIG_FILE}.4711"):
        (tmp_path / name).write_text("")
    run = fit(DigitsLT(imbalance_ratio=50), max_epochs=2, output_dir=tmp_path, resume=True)
    assert run.result["epochs"] == 2
