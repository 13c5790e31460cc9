"""Runs that are not told where to go do not meet in one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from oponm.cli.configuration import register_resolvers, take_folder
from tests.cli.command import QUICK

TIME = """
import sys
from hydra.core import utils
from omegaconf import OmegaConf
register = OmegaConf.register_new_resolver
def frozen(name, resolver, **options):
    register(name, (lambda pattern: "12-30-00") if name == "now" else resolver, **options)
OmegaConf.register_new_resolver = frozen
sys.argv = ["oponm", *sys.argv[1:]]
from oponm.cli.main import main
main()
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", TIME, "train", *QUICK, *arguments], cwd=folder, stderr=-1, text=True)


@pytest.mark.parametrize("sweep", [False, True])
def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, sweep):
    running = [start(tmp_path, *(["-m"] if sweep else []), f"seed={seed}") for seed in (0, 1)]
    for one in running:
        _, errors = one.communicate(timeout=200)
        assert one.returncode == 0, errors
    folders = sorted((tmp_path / "outputs/12-30-00").iterdir())
    assert [folder.name for folder in folders] == ["12-30-00", "12-30-00-2"]
    results = [next(folder.rglob("result.json")) for folder in folders]
    assert {json.loads(file.read_text())["seed"] for file in results} == {0, 1}


def test_a_folder_that_is_named_is_not_another(tmp_path):
    register_resolvers()
    (tmp_path / "run").mkdir()
    config = OmegaConf.create({"output_dir": str(tmp_path / "run")})
    take_folder(config)
    assert config.output_dir == str(tmp_path / "run")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    timed = OmegaConf.create({"output_dir": f"{tmp_path}/run${{again:}}"})
    for _ in range(2):
        take_folder(timed)
    assert timed.output_dir == f"{tmp_path}/run-3"
