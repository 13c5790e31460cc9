from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, LOG_FILE, OVERRIDES_FILE, write_whole
from oponm.training import fit
from oponm.training.run_folder import begin, finished_result, require_same_input


class Killed(BaseException):
    """As SIGKILL, if nothing catches it."""


@pytest.mark.parametrize("at", ["open", "fsync", "replace"])
def test_killed_while_it_is_written_again_the_config_stays_as_it_was(tmp_path, monkeypatch, at):
    begin(tmp_path, {"seed": 0}, ["seed=0"], {})
    before = {file: (tmp_path / file).read_bytes() for file in (CONFIG_FILE, OVERRIDES_FILE)}

    def killed(*arguments, **options):
        raise Killed

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "open": (Path, "open"), "replace": (Path, "replace")}[at], killed)
    with pytest.raises(Killed):
        begin(tmp_path, {"seed": 0, "resume": "auto"}, ["seed=0", "resume=auto"], {})
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


def trained_on(**changed) -> SimpleNamespace:
    known = {"class_names": ["ant", "bee"], "class_counts": [9, 3], "content_digest": "1", "code": {"mine": "a"}}
    known |= {"lengths_digest": "1", "test_digest": "1", "val_digest": "1"}
    return SimpleNamespace(**{**known, **changed})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"class_names": ["ant", "wasp"]}, "class 'bee' is gone and class 'wasp' is new"),
        ({"class_names": ["ant", "bee", "cat"], "class_counts": [9, 3, 2]}, "class 'cat' is new"),
        ({"class_names": ["ant"], "class_counts": [9]}, "class 'bee' is gone"),
        ({"class_names": ["bee", "ant"]}, "the classes are in another order"),
        ({"class_counts": [9, 4]}, "class 'bee' had 3 training images and has 4"),
        ({"content_digest": "2"}, "some training images have changed"),
        ({"lengths_digest": "2"}, "some training images have changed"),
        ({"test_digest": "2"}, "some test images have changed"),
        ({"val_digest": "2"}, "some validation images have changed"),
        ({"code": {"mine": "b"}}, "the code of mine has changed"),
    ],
)
def test_what_a_run_goes_on_with_must_be_what_it_was(tmp_path, changed, words):
    before, now = vars(trained_on()), trained_on(**changed)
    with pytest.raises(
        InputError, match=rf"^resume cannot resume .*: {words}; undo this change, or set a new output_dir"
    ):
        require_same_input(tmp_path, before, now, now.code)
    require_same_input(tmp_path, vars(now), now, now.code)


def test_what_is_not_known_of_a_run_is_not_compared(tmp_path):
    assert require_same_input(tmp_path, {}, trained_on(), {"mine": "a"}) is None
    assert require_same_input(tmp_path, vars(trained_on(code=None)), trained_on(), {"mine": "a"}) is None
    assert require_same_input(tmp_path, vars(trained_on()), trained_on(), None) is None
