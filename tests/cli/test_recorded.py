"""A run that is there already is resumed and evaluated with the config that its folder records."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from oponm.cli.main import find_modules_here
from oponm.cli.recorded import Recorded, read_recorded
from oponm.errors import InputError
from tests.cli.command import QUICK, files_below, oponm

OWN = """
from oponm.models import SmallCNN


class Net(SmallCNN):
    pass
"""
CHOICE = "_target_: ownnet.Net\nhead: linear\nweights: null\n"
RARE = "# @package _global_\ndefaults: [{override /method: drs}, {override /loss: focal}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a run of a network, and of a choice, of the user's own."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "mine/model").mkdir(parents=True)
    (folder / "mine/model/own.yaml").write_text(CHOICE)
    (folder / "mine/experiment").mkdir()
    (folder / "mine/experiment/rare.yaml").write_text(RARE)
    (folder / "ownnet.py").write_text(OWN)
    settings = ["seed=3", "--config-dir", "mine", "model=own", "experiment=rare", "+optimizer.dampening=0.0"]
    settings += ["data.draw_seed=${seed}", "output_dir=run"]
    done = oponm("train", *QUICK, *settings, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "mine").rename(folder / "elsewhere")
    return folder


def test_a_run_of_a_choice_of_one_s_own_is_resumed(folder):
    before = json.loads((folder / "run/result.json").read_text())
    (folder / "run/result.json").unlink()
    done = oponm("train", "resume=run", "logger=csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    after = json.loads((folder / "run/result.json").read_text())
    for key in ("metrics", "choices", "seed"):
        assert after[key] == {**before, "choices": {**before["choices"], "logger": "csv"}}[key]
    assert after["overrides"] == [*before["overrides"], "logger=csv"]


def test_a_copy_writes_to_its_own_folder(folder):
    files = {file: file.stat().st_mtime_ns for file in (folder / "run").rglob("*")}
    shutil.copytree(folder / "run", folder / "copy")
    (folder / "copy/result.json").unlink()
    (folder / "copy/choices.yaml").unlink()  # as of an earlier version
    shutil.rmtree(folder / "copy/checkpoints")
    (folder / "copy/metrics.csv").unlink()
    done = oponm("train", "resume=copy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in (folder / "run").rglob("*")} == files
    assert (folder / "copy/metrics.csv").is_file()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("experiment=cifar10_lt_ir100", "experiment chooses another run than the recorded one"),
        ("method=open", "method.phases was "),
        ("loss=cross_entropy", "loss._target_ was 'oponm.losses.Focal'"),
    ],
)
def test_another_run_than_the_recorded_one_is_refused(folder, argument, words):
    done = oponm("train", "resume=run", argument, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr


def test_it_is_evaluated_wherever_the_option_stands(folder):
    checkpoint = "checkpoint=run/checkpoints/last.ckpt"
    for number, arguments in enumerate(([checkpoint], ["--config-dir", "elsewhere", checkpoint, "logger=csv"])):
        done = oponm("eval", *arguments, "trust=true", f"output_dir=eval{number}", cwd=folder)
        assert done.returncode == 0, done.stderr
        result = json.loads((folder / f"eval{number}/result.json").read_text())
        assert (result["choices"]["model"], result["seed"]) == ("own", 3)
        assert (result["choices"]["method"], result["choices"]["loss"]) == ("drs", "focal")
    assert (folder / "eval1/metrics.csv").is_file()
    refused = oponm("eval", checkpoint, "output_dir=refused", cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "import ownnet.Net" in refused.stderr


def test_classes_of_torch_need_no_trust(tmp_path):
    adam = ["optimizer._target_=torch.optim.AdamW", "~optimizer.momentum", "output_dir=run"]
    assert oponm("train", *QUICK, *adam, cwd=tmp_path).returncode == 0
    done = oponm("eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "eval/config.yaml").read_text())["optimizer"]["_target_"] == "torch.optim.AdamW"


def test_the_same_command_again_resumes_and_another_is_refused(tmp_path):
    settings = [*QUICK, "method=ldam_drw", "schedule.warmup_epochs=1", "data=digits_lt", "data.imbalance_ratio=20"]
    assert oponm("train", *settings, "output_dir=run", cwd=tmp_path).returncode == 0
    again = oponm("train", "resume=run", *settings, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    part = oponm("train", "resume=run", "data=digits_lt", cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    other = oponm("train", "resume=run", "method=erm", cwd=tmp_path)
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "method.phases was" in other.stderr


def test_evaluation_may_change_what_settings_refer_to(tmp_path):
    assert oponm("train", *QUICK, "output_dir=run", cwd=tmp_path).returncode == 0
    done = oponm("eval", "checkpoint=run/checkpoints/last.ckpt", "seed=4", "output_dir=eval", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "eval/config.yaml").read_text())["seed"] == 4


@pytest.mark.parametrize("content", ["seed: [0", "- a list", "seed: ${nowhere}"])
@pytest.mark.parametrize(
    "command",
    [
        ["train", "resume=run"],
        ["train", "resume=auto", "output_dir=run"],
        ["eval", "checkpoint=run/checkpoints/last.ckpt"],
    ],
)
def test_a_damaged_config_is_named(tmp_path, command, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text(content)
    (tmp_path / "run/overrides.yaml").write_text("[]")
    before = files_below(tmp_path)
    done = oponm(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{command[1].partition('=')[0]} " in done.stderr
    assert "run/config.yaml is damaged" in done.stderr
    assert "train again into another folder" in done.stderr
    assert files_below(tmp_path) - {"run/run.log"} == before


def test_a_config_of_an_older_version_gets_the_settings_that_came_since(tmp_path):
    assert oponm("train", *QUICK, "output_dir=run", cwd=tmp_path).returncode == 0
    file = tmp_path / "run/config.yaml"
    config = yaml.safe_load(file.read_text())
    del config["optimized_metric"], config["trainer"]["on_nonfinite"]
    file.write_text(yaml.safe_dump(config))
    done = oponm("eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_settings_of_an_older_version_that_are_gone_are_passed_over(tmp_path):
    assert oponm("train", *QUICK, "method=drs", "output_dir=run", cwd=tmp_path).returncode == 0
    file = tmp_path / "run/config.yaml"
    config = yaml.safe_load(file.read_text()) | {"published": {"paper": 84.6}, "published_note": "n"}
    file.write_text(yaml.safe_dump(config))
    (tmp_path / "run/overrides.yaml").write_text(yaml.safe_dump([*QUICK, "experiment=digits_lt/drs"]))
    before = (tmp_path / "run/result.json").read_bytes()
    for command in (["train", "resume=run"], ["eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval"]):
        done = oponm(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/result.json").read_bytes() == before
    assert "published" not in yaml.safe_load((tmp_path / "eval/config.yaml").read_text())


def test_a_config_with_old_names_is_evaluated_and_resumed(tmp_path):
    assert oponm("train", *QUICK, "output_dir=run", cwd=tmp_path).returncode == 0
    file = tmp_path / "run/config.yaml"
    config = yaml.safe_load(file.read_text())
    config["noise"]["_target_"] = "oponm.data.mixers.make_mixer"
    config["data"] |= {key: config[key] for key in ("seed", "augmentation", "mixing")} | {"mixer": config["noise"]}
    file.write_text(yaml.safe_dump(config))
    (tmp_path / "run/result.json").unlink()
    for command in (["train", "resume=run"], ["eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval"]):
        done = oponm(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero, line 1 of"),
    ],
)
def test_an_import_that_fails_says_why(tmp_path, content, words):
    (tmp_path / "failing.py").write_text(content)
    done = oponm("train", "model=custom", "model._target_=failing.Net", "output_dir=run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr


def test_modules_of_the_current_folder_are_found_after_all_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["installed"])
    find_modules_here()
    find_modules_here()
    assert sys.path == ["installed", str(tmp_path)]


def test_a_deleted_folder_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="current folder has been deleted"):
        find_modules_here()


def test_what_is_recorded_nowhere_is_nothing(tmp_path):
    assert read_recorded(tmp_path, "resume") == Recorded()
    assert Recorded().choices == {}
