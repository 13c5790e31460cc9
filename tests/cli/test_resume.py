"""A run that is killed goes on; a sweep runs what is missing."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

from tests.cli.command import QUICK, oponm

SCRIPT = Path(__file__).parents[2] / "benchmarks/kill_and_resume.py"


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
