from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.cli.command import QUICK, files_below, oponm


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained")
    done = oponm("train", "trainer.max_epochs=3", "output_dir=run", "data.imbalance_ratio=20", cwd=folder, fresh=True)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout


def test_the_run_directory(trained):
    folder, _ = trained
    assert files_below(folder) == {
        ".lock",
        "checkpoints/last.ckpt",
        "choices.yaml",
        "config.yaml",
        "metrics.csv",
        "overrides.yaml",
        "confusion_matrix.npz",
        "split.csv",
        "test_predictions.csv",
        "result.json",
        "run.log",
    }
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["method"]["phases"][1] == {"epochs": 40, "sampler": "class_balanced", "noise": True}
    assert config["noise"]["delta"] == pytest.approx(1 / 3)
    assert "${" not in (folder / "config.yaml").read_text()


def test_the_result(trained):
    result = json.loads((trained[0] / "result.json").read_text())
    assert result["choices"]["method"] == "open"
    assert result["seed"] == 0
    assert len(result["recall"]) == 10
    assert result["metrics"]["balanced_accuracy"] == pytest.approx(np.mean(result["recall"]))
    assert len(result["split_digest"]) == 64
    assert result["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert result["seconds"] >= result["train_seconds"] > 0
    assert {"git_commit", "python"} <= set(result)


def test_metrics_by_epoch(trained):
    rows = list(csv.DictReader((trained[0] / "metrics.csv").open()))
    assert [float(row["noise_share"]) > 0 for row in rows[:3]] == [False, False, True]
    assert all(float(row["train/loss"]) > 0 for row in rows[:3])
    assert [float(row["lr"]) for row in rows[:3]] == pytest.approx([0.1, 0.1, 0.01])
    result = json.loads((trained[0] / "result.json").read_text())
    assert float(rows[3]["test/balanced_accuracy"]) == pytest.approx(result["metrics"]["balanced_accuracy"])


def test_the_terminal(trained):
    assert "open on digits_lt, small_cnn, seed 0" in trained[1]
    assert "files: run" in trained[1]


def test_a_run_is_never_overwritten(trained):
    before = (trained[0] / "result.json").read_text()
    done = oponm("train", "output_dir=run", *QUICK, cwd=trained[0].parent)
    assert done.returncode == 2
    assert "output_dir" in done.stderr
    assert (trained[0] / "result.json").read_text() == before
    assert (trained[0] / "run.log").is_file()


def test_evaluation_takes_the_run_s_settings_over(trained):
    done = oponm("eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval", cwd=trained[0].parent)
    assert done.returncode == 0, done.stderr
    ours, expected = (json.loads((trained[0].parent / name / "result.json").read_text()) for name in ("eval", "run"))
    for key in ("metrics", "recall", "split_digest", "class_counts"):
        assert ours[key] == expected[key]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=resnet32"], "does not fit ResNetCifar"),
        (["data.test_per_class=0"], "data.test_per_class"),
        (["checkpoint=nowhere.ckpt"], "checkpoint names no file"),
        (["checkpoint=run/config.yaml"], "checkpoint run/config.yaml is no checkpoint"),
    ],
    ids=str,
)
def test_evaluations_that_cannot_be(trained, arguments, words):
    before = files_below(trained[0].parent)
    checkpoint = [] if "checkpoint" in arguments[0] else ["checkpoint=run/checkpoints/last.ckpt"]
    done = oponm("eval", *checkpoint, *arguments, "output_dir=bad", cwd=trained[0].parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert files_below(trained[0].parent) == before


def test_evaluation_on_another_split_warns(trained):
    arguments = ["checkpoint=run/checkpoints/last.ckpt", "data.test_per_class=100", "output_dir=other"]
    done = oponm("eval", *arguments, cwd=trained[0].parent)
    assert done.returncode == 0, done.stderr
    assert "may have been trained on test images" in done.stderr


def test_evaluation_logs_where_it_is_told_to(trained):
    arguments = ["checkpoint=run/checkpoints/last.ckpt", "output_dir=logged", "logger=csv"]
    done = oponm("eval", *arguments, cwd=trained[0].parent)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader((trained[0].parent / "logged/metrics.csv").open())
    result = json.loads((trained[0] / "result.json").read_text())
    assert float(row["test/balanced_accuracy"]) == pytest.approx(result["metrics"]["balanced_accuracy"])


def test_evaluation_on_other_classes_is_refused(trained):
    checkpoint = torch.load(trained[0] / "checkpoints/last.ckpt", weights_only=True)
    checkpoint["split"]["class_names"] = list("abcdefghij")
    torch.save(checkpoint, trained[0].parent / "letters.ckpt")
    done = oponm("eval", "checkpoint=letters.ckpt", "output_dir=bad", cwd=trained[0].parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "a, b, c" in done.stderr


def test_damaged_weights_are_refused(trained):
    content = bytearray((trained[0] / "checkpoints/last.ckpt").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    (trained[0].parent / "damaged.ckpt").write_bytes(content)
    done = oponm("eval", "checkpoint=damaged.ckpt", "output_dir=bad", cwd=trained[0].parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "damaged.ckpt" in done.stderr


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_precision(tmp_path, precision):
    done = oponm("train", f"trainer.precision={precision}", *QUICK, "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_sweep_has_a_folder_a_run_and_a_report(tmp_path):
    done = oponm("train", "-m", "method=erm,open", "seed=0,1", "output_dir=sweep", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = sorted((tmp_path / "sweep").glob("*/result.json"))
    assert len(results) == 4
    assert len({json.loads(path.read_text())["split_digest"] for path in results}) == 1
    report = oponm("report", "sweep", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert "| open | 2 |" in (tmp_path / "sweep/report.md").read_text()
    assert Image.open(tmp_path / "sweep/report.png").size[0] > 500


def test_wandb_offline_needs_no_account(tmp_path):
    done = oponm(
        "train", "logger=wandb", "logger.wandb.offline=true", "output_dir=run", "trainer.max_epochs=2", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert (tmp_path / "run/metrics.csv").is_file()


def test_a_folder_of_photographs(tmp_path):
    random = np.random.default_rng(0)
    for name, shade in (("ants", 60), ("bees", 190)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.normal(shade, 30, (20, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    done = oponm(
        *("train", "data=image_folder", "data.root=photos", "data.imbalance_ratio=4", "model=resnet32"),
        *("augmentation=flip_crop", "trainer.max_epochs=2", "output_dir=run", "data.image_size=8"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["class_names"] == ["ants", "bees"]
    assert result["class_counts"] == [24, 6]
