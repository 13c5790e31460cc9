from __future__ import annotations

import errno
import os

import pytest

from oponm.cli.errors import explain, is_bad_input
from oponm.errors import InputError
from tests.cli.command import oponm


def test_a_full_disk_is_said_in_one_line_though_no_file_is_named():
    error = OSError(errno.ENOSPC, "No space left on device")
    assert is_bad_input(error)
    assert "No space left" in explain(error)
    assert "make room" in explain(error)


def test_defects_are_named_with_their_kind_and_what_is_expected_without():
    assert explain(RuntimeError("out of\nmemory")) == "RuntimeError: out of memory"
    assert explain(InputError("must be 1", "key")) == "key must be 1"
    assert explain(ChildProcessError("process 1 ended")) == "process 1 ended"
    assert not is_bad_input(OSError(errno.EPIPE, "Broken pipe"))


def test_a_file_that_a_library_could_not_open_is_named():
    """As the log of a run whose folder cannot be written."""
    error = ValueError("Unable to configure handler 'file'")
    error.__cause__ = OSError(errno.EROFS, os.strerror(errno.EROFS), "/runs/run.log")
    assert is_bad_input(error)
    assert explain(error) == "/runs/run.log: Read-only file system"


def test_an_empty_folder_of_data_sets_is_refused(tmp_path):
    done = oponm("data", "check", "data=celeba5", cwd=tmp_path, OPONM_DATA="")
    assert done.returncode == 2
    assert done.stderr == "oponm: OPONM_DATA is empty: name a file or folder (. is the current one)\n"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("experiment=digits_lt/open", "experiment=digits_lt/open is now method=open"),
        (
            "experiment=cifar10_lt_ir50/drs",
            "experiment=cifar10_lt_ir50/drs is now experiment=cifar10_lt_ir50 method=drs",
        ),
        ("experiment=finetun", "is no choice; did you mean experiment=finetune? experiment is one of celeba5/drs, "),
        (
            "trainer.deterministic=true",
            "is an option of Lightning's that the config does not hold yet: +trainer.determ",
        ),
        ("data.delta=0.5", "data.delta is no setting: did you mean noise.delta?"),
        ("data.noise=none", "data.noise is no setting: did you mean noise?"),
        ("loss.name=focal", "loss.name is no setting: did you mean loss?"),
        ("hydra.sweeper.rows=5", "hydra.sweeper.rows is no setting of the chosen sweeper: hydra/sweeper=rows"),
        ("output_dir=null", "output_dir must name a folder"),
    ],
)
def test_a_setting_that_is_none_is_answered_with_what_is_meant(tmp_path, setting, said):
    done = oponm("train", setting, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_config_file_that_is_no_yaml_is_named_with_its_line(tmp_path):
    (tmp_path / "mine/method").mkdir(parents=True)
    (tmp_path / "mine/method/broken.yaml").write_text("phases:\n  - {epochs: 1\n  - {epochs: 2}\n")
    done = oponm("train", "--config-dir", "mine", "method=broken", "output_dir=run", cwd=tmp_path)
    assert done.returncode == 2
    assert "broken.yaml, line 3: is no YAML" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optimizer.lr=fast", "optimizer.lr must be a number of at least 0, got 'fast'"),
        ("model=custom", "model._target_ must be given: model._target_=my.module.MyNet"),
        ("data.root=photos", "data=image_folder data.root=... has it"),
        ("data=.", "data=. is a folder: data=image_folder data.root=."),
    ],
)
def test_what_newcomers_type_is_answered(tmp_path, setting, said):
    done = oponm("train", setting, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "run").exists()
