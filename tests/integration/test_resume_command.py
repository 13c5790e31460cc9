"""A run that is killed goes on; a sweep runs what is missing."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.report import collect_runs
from oponm.report.settings import settings_of
from tests.cli.command import QUICK, oponm

SCRIPT = Path(__file__).parents[2] / "benchmarks/kill_and_resume.py"


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(tmp_path):
    spec = importlib.util.spec_from_file_location("kill_and_resume", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    import subprocess

    subprocess.run(script.command(tmp_path / "whole", 25), check=True, capture_output=True)
    steps = script.progress(tmp_path / "whole/checkpoints/last.ckpt")[2]
    found = script.killed_run(tmp_path / "killed", 25, 3, steps, seed=1, pace=2.0)
    assert found == sorted(found, key=lambda kill: kill.step)
    assert [kill.writing for kill in found].count(True) == [kill.border for kill in found].count(True) == 1
    assert script.differences(tmp_path / "whole", tmp_path / "killed") == []


def test_a_run_that_is_done_is_left_alone_and_named_settings_must_agree(tmp_path):
    first = oponm("train", *QUICK, "output_dir=run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    before = (tmp_path / "run/result.json").read_bytes()
    again = oponm("train", "resume=run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run/result.json").read_bytes() == before
    other = oponm("train", "resume=run", "seed=5", cwd=tmp_path)
    assert other.returncode == 2
    assert "seed was 0" in other.stderr
    assert (tmp_path / "run/result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["resume=nowhere"], "holds no run"), (["-m", "resume=nowhere"], "resume=auto"), (["resume=."], "holds no run")],
)
def test_bad_resumptions(tmp_path, arguments, words):
    done = oponm("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_tampered_checkpoint_is_refused_and_nothing_in_it_runs(tmp_path):
    assert oponm("train", *QUICK, "output_dir=run", cwd=tmp_path).returncode == 0
    (tmp_path / "run/result.json").unlink()
    torch.save({"state_dict": {"weight": torch.ones(1)}, "training": Path}, tmp_path / "run/checkpoints/last.ckpt")
    done = oponm("train", "resume=run", cwd=tmp_path)
    assert done.returncode == 2
    assert "last.ckpt" in done.stderr
    assert "put back a copy of it, or remove it" in done.stderr


def test_cache_lists_and_clears(tmp_path):
    assert oponm("train", *QUICK, "output_dir=run", cwd=tmp_path).returncode == 0
    folder = f"phase_cache={tmp_path}-cache/phases"
    assert "1 stored" in oponm("cache", folder, cwd=tmp_path).stdout
    reused = oponm("train", *QUICK, "method=drs", "output_dir=drs", cwd=tmp_path)
    assert re.search(r"^phase cache: 1 epochs reused, [\d.]+ s saved$", reused.stdout, re.MULTILINE)
    assert json.loads((tmp_path / "drs/result.json").read_text())["reused"]["epochs"] == 1
    off = oponm("train", *QUICK, "method=drs", "output_dir=off", "phase_cache=off", cwd=tmp_path)
    assert "reused" not in off.stdout
    assert "removed 1" in oponm("cache", "clear", folder, cwd=tmp_path).stdout
    assert "0 stored" in oponm("cache", folder, cwd=tmp_path).stdout
    assert oponm("cache", "wipe", cwd=tmp_path).returncode == 2


def pictures(root: Path) -> None:
    random = np.random.default_rng(0)
    for part, name in [(part, name) for part in ("train", "test") for name in ("ant", "bee")]:
        (root / part / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / part / name / f"{number}.png")


def rename(root: Path) -> None:
    for part in ("train", "test"):
        (root / part / "ant").rename(root / part / "wasp")


def replace(root: Path) -> None:
    Image.new("RGB", (8, 8)).save(root / "train/bee/0.png")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename, "class 'ant' is gone and class 'wasp' is new"),
        (replace, "some training images have changed"),
    ],
)
def test_images_that_changed_end_a_resumption_of_a_run_that_is_done_or_not(tmp_path, change, words):
    pictures(tmp_path / "photos")
    images = ["data=image_folder", "data.root=photos", "data.imbalance_ratio=null", "output_dir=run"]
    assert oponm("train", *QUICK, *images, cwd=tmp_path).returncode == 0
    assert oponm("train", *QUICK, *images, "resume=auto", cwd=tmp_path).returncode == 0
    change(tmp_path / "photos")
    checkpoint = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    for done in (True, False):
        (tmp_path / "run/result.json").exists() and (done or (tmp_path / "run/result.json").unlink())
        again = oponm("train", *QUICK, *images, "resume=auto", cwd=tmp_path)
        assert (again.returncode, again.stdout, words in again.stderr) == (2, "", True), again.stderr
        assert len(again.stderr.splitlines()) == 1
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == checkpoint


def test_a_streamed_image_that_was_replaced_ends_a_resumption(tmp_path):
    pictures(tmp_path / "photos")
    images = ["data=image_folder", "data.root=photos", "data.imbalance_ratio=null", "output_dir=run"]
    images += ["data.in_memory=false", "data.statistics=imagenet", "data.image_size=8"]
    assert oponm("train", *QUICK, *images, cwd=tmp_path).returncode == 0
    assert oponm("train", *QUICK, *images, "resume=auto", cwd=tmp_path).returncode == 0
    replace(tmp_path / "photos")
    again = oponm("train", *QUICK, *images, "resume=auto", cwd=tmp_path)
    assert again.returncode == 2
    assert "some training images have changed" in again.stderr


OWN_LOSS = """
from torch import nn
from own_numbers import sign

class Loss(nn.Module):
    def __init__(self, class_counts):
        super().__init__()

    def forward(self, logits, targets):
        return sign * nn.functional.cross_entropy(logits, targets, reduction="none")
"""


def test_code_of_ones_own_that_changed_reuses_no_phase_and_no_result(tmp_path):
    (tmp_path / "own_loss.py").write_text(OWN_LOSS)
    (tmp_path / "own_numbers.py").write_text("sign = 1\n")
    told = ["trainer.max_epochs=6", "loss._target_=own_loss.Loss", "~loss.label_smoothing", "phase_cache=cache"]

    def train(folder: str, *more: str):
        return oponm("train", *told, f"output_dir={folder}", *more, cwd=tmp_path)

    for folder in ("first", "again"):
        done = train(folder)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "again/result.json").read_text())["reused"]
    (tmp_path / "own_numbers.py").write_text("sign = 0.5\n")
    refused = train("first", "resume=auto")
    assert refused.returncode == 2
    assert "the code of own_numbers has changed" in refused.stderr
    other = train("other")
    assert other.returncode == 0, other.stderr
    assert json.loads((tmp_path / "other/result.json").read_text())["reused"] is None
    runs, _ = collect_runs([tmp_path / "first", tmp_path / "other"])
    assert runs[0]["settings"] == runs[1]["settings"]
    assert settings_of(runs[0])["code"] != settings_of(runs[1])["code"]
