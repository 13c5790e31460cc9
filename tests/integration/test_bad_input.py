"""Each mistake: one line on standard error that names key or file, exit code 2, nothing left behind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from PIL import Image

from oponm.cli.errors import ROOM, one_line_errors
from tests.cli.command import files_below, oponm

FOLDER = ["data=image_folder", "data.root=photos"]


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("ants", "bees"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def check_refused(folder: Path, arguments: list[str], *words: str) -> None:
    before = files_below(folder)
    done = oponm("train", *arguments, "output_dir=out/run", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("oponm: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert files_below(folder) == before
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("method=foo", ["method=foo", "drs", "erm", "open", "rs"]),
        ("data=foo", ["data=foo", "digits_lt", "image_folder"]),
        ("model=foo", ["model=foo", "resnet32", "small_cnn"]),
        ("noise.delta=1.5", ["noise.delta", "[0, 1]"]),
        ("noise.delta=abc", ["noise.delta", "'abc'"]),
        ("data.imbalance_ratio=0.5", ["data.imbalance_ratio", "at least 1"]),
        ("data.imbalance_ratio=1000", ["data.imbalance_ratio", "at most"]),
        ("data.batch_size=0", ["data.batch_size"]),
        ("data.draw=elsewhere.txt", ["data.draw", "elsewhere.txt", "ldam"]),
        ("trainer.max_epochs=1", ["trainer.max_epochs", "at least 2"]),
        ("trainer.precision=12", ["trainer", "12"]),
        ("trainer.accelerator=abacus", ["trainer", "abacus"]),
        ("norm.noise_grad=half", ["norm.noise_grad", "none, input, full"]),
        ("optimizer.lr=-1", ["optimizer"]),
        ("seed=-1", ["seed"]),
        ("trainer.epochs=3", ["trainer.epochs"]),
        ("+data.color=red", ["data.color"]),
        ("+color=red", ["color is no setting"]),
        ("+schedule.gamm=1", ["schedule.gamm is no setting of this choice"]),
        ("+trainer.max_epoch=50", ["trainer.max_epoch is no setting"]),
        ("model=null", ["model"]),
        ("shots=null", ["shots"]),
        ("shots.many_over=nan", ["shots.many_over"]),
        ("method.phases=5", ["method.phases"]),
        ("method.phases=[{epochs:x}]", ["method.phases", "'x'"]),
        ("noise.clip=5", ["noise.clip"]),
        ("schedule.warmup_epochs=300", ["schedule.warmup_epochs"]),
        ("logger.csv=null", ["logger.csv"]),
        ("noise", ["noise"]),
        ("logger=wandb", ["wandb login", "logger.wandb.offline=true"]),
        ("model._target_=nowhere.Net", ["model", "nowhere"]),
        ("loss=ldam", ["model.head must be cosine"]),
        ("~optimizer", ["optimizer is missing"]),
        ("model.width=${nope}", ["model.width cannot be resolved", "'nope' not found"]),
        ("trainer.checkpoint_every_minutes=abc", ["trainer.checkpoint_every_minutes must be a number"]),
        ("trainer.checkpoint_every_n_steps=0", ["trainer.checkpoint_every_n_steps must be a whole number"]),
        ("trainer.num_threads=abc", ["trainer.num_threads must be"]),
        ("experiment=null", ["experiment is null", "leave it out"]),
        ("sweep=null", ["sweep is null", "leave it out"]),
        ("+model=null", ["model must be one of", "small_cnn"]),
        ("lr=0.1", ["lr is no setting", "did you mean optimizer.lr?"]),
        ("epochs=3", ["did you mean trainer.max_epochs?"]),
        ("+kind=standard", ["did you mean norm.kind?"]),
        ("+trainer.max_epoch=3", ["did you mean trainer.max_epochs?"]),
        ("logger.csv.name=two,words", ['logger.csv.name="two,words"']),
        ("logger.csv.name=two (words", ['logger.csv.name="two (words"']),
        ("trainer.precision=transformer-engine", ["trainer", "transformer_engine"]),
        ("trainer.accelerator=tpu", ["trainer", "torch_xla"]),
    ],
    ids=str,
)
def test_settings(tmp_path, argument, words):
    check_refused(tmp_path, [argument], *words)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is one")
def test_an_accelerator_that_is_not_there(tmp_path):
    check_refused(tmp_path, ["trainer.accelerator=gpu"], "trainer.accelerator is gpu", "take auto or cpu")


def test_options_that_exclude_each_other(tmp_path):
    check_refused(tmp_path, ["-m", "--cfg", "job"], "--multirun", "--cfg")


def test_missing_folder(tmp_path):
    check_refused(tmp_path, FOLDER, "data.root", "photos")


def test_root_not_given(tmp_path):
    check_refused(tmp_path, FOLDER[:1], "data.root")


def test_empty_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    check_refused(tmp_path, FOLDER, "data.root", "photos", "two classes")


def test_one_class_only(photos):
    for file in (photos / "bees").iterdir():
        file.unlink()
    (photos / "bees").rmdir()
    check_refused(photos.parent, FOLDER, "only one, ants")


def test_damaged_image(photos):
    whole = (photos / "bees/2.png").read_bytes()
    (photos / "bees/2.png").write_bytes(whole[: len(whole) // 2])
    check_refused(photos.parent, FOLDER, "bees/2.png", "data.on_error=skip")


def test_file_that_is_no_image(photos):
    (photos / "bees/notes.txt").write_text("two bees")
    check_refused(photos.parent, FOLDER, "bees/notes.txt", "is no image")


def test_text_in_an_image_s_clothing(photos):
    (photos / "bees/2.png").write_text("two bees")
    check_refused(photos.parent, FOLDER, "bees/2.png", "is no image")


def test_unwritable_folder(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    done = oponm("train", "output_dir=out/run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "out/run" in done.stderr


def test_unknown_command(tmp_path):
    done = oponm("trian", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "train, eval, predict, export, data, cache, report" in done.stderr


def test_debugging_shows_the_traceback(tmp_path):
    done = oponm("train", "noise.delta=1.5", "output_dir=run", cwd=tmp_path, OPONM_DEBUG="1")
    assert "Traceback" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("rate", ["1e30", "nan"])
def test_training_that_diverges(tmp_path, rate):
    done = oponm("train", f"optimizer.lr={rate}", "output_dir=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "optimizer.lr" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run/result.json").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.csv").write_text("somebody else's")
    done = oponm("train", "output_dir=run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "metrics.csv" in done.stderr
    assert files_below(tmp_path / "run") == {"metrics.csv"}
    assert (tmp_path / "run/metrics.csv").read_text() == "somebody else's"


def test_dangling_link(photos):
    (photos / "bees/9.png").symlink_to("nowhere.png")
    check_refused(photos.parent, FOLDER, "bees/9.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=timm", "model.name=vit_tiny_patch16_224"], ["8x8", "+model.img_size=8", "data.image_size=224"]),
        (["model=torchvision", "model.name=vit_b_16"], ["8x8", "+model.image_size=8", "data.image_size=224"]),
        (
            ["model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=8", "+model.patch_size=4"],
            ["norm.kind", "choose norm=standard"],
        ),
    ],
    ids=["timm", "torchvision", "no batch norm"],
)
def test_transformers(tmp_path, arguments, words):
    check_refused(tmp_path, arguments, *words)


@pytest.mark.parametrize(("full", "words"), [("make room; resume=RUN_DIR goes on", "resume"), (ROOM, "again")])
def test_a_full_disk_is_no_reason_to_resume_what_is_no_run(capsys, full, words):
    with pytest.raises(SystemExit), one_line_errors(full):
        raise OSError(errno.ENOSPC, "No space left on device")
    line = capsys.readouterr().err
    assert words in line
    assert ("resume" in line) == (full != ROOM)
