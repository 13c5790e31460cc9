"""Names of folders: those of a sweep's runs, and runs that are not told where to go."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from oponm.cli.plugins import store_plugins
from oponm.cli.run_names import LONGEST, fixed_keys, run_name, take_folder
from oponm.configs import CONF_DIR, groups
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


@pytest.mark.slow
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
    (tmp_path / "run").mkdir()
    config = OmegaConf.create({"output_dir": str(tmp_path / "run")})
    take_folder(config)
    assert config.output_dir == str(tmp_path / "run")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    timed = OmegaConf.create({"output_dir": f"{tmp_path}/run${{again:}}"})
    for _ in range(2):
        take_folder(timed)
    assert timed.output_dir == f"{tmp_path}/run-3"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["method=open", "seed=3"], "open,seed=3"),
        (["seed=3", "method=open"], "open,seed=3"),
        (["mixing=none", "seed=0"], "mixing=none,seed=0"),  # as augmentation has a choice of this name too
        (["optimizer.lr=1e-3", "+model.dies=true"], "model.dies=true,optimizer.lr=1e-3,seed=0"),
        ([], "seed=0"),
    ],
)
def test_a_run_is_named_by_what_its_sweep_varies(overrides, name):
    assert run_name([*overrides, "trainer.max_epochs=9"], {"trainer.max_epochs"}, seed=0) == name


def test_names_of_runs_are_distinct_and_plain():
    values = ["a/b", "a-b", "a b", "/a/b", "'a b'", "[1,2]", "{c: d/e}", "$(rm)", "ä", "..", "a" * 300, "a" * 301, ""]
    names = [run_name([f"data.root={value}", f"seed={seed}"], []) for value in values for seed in (0, 1)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=+-]+,seed=[01]", name) for name in names)
    assert max(map(len, names)) <= LONGEST


def test_no_value_is_cut_in_a_name():
    overrides = [f"key{number}={'v' * 40}" for number in range(9)]
    name = run_name([*overrides, "seed=5"], [])
    *pieces, _, seed = name.split(",")
    assert pieces == overrides[: len(pieces)]
    assert (len(pieces), seed) == (5, "seed=5")
    assert name != run_name([*overrides[:-1], "key8=other", "seed=5"], [])


def test_choices_are_told_apart_by_their_names():
    pairs = [(group, choice) for group, choices in groups().items() for choice in choices]
    names = [run_name([f"{group}={choice}"], []) for group, choice in pairs]
    assert len(set(names)) == len(names)
    assert not [name for name in names if len(name) > 60]


@pytest.mark.parametrize(
    ("arguments", "varied"),
    [
        (["method=erm,open", "seed=0", "trainer.max_epochs=2"], {"method"}),
        (["method=choice(erm)", "noise.delta=range(1,3)"], {"method", "noise.delta"}),
        (["sweep=demo", "data.imbalance_ratio=10,50"], {"method", "seed", "data.imbalance_ratio"}),
        (["sweep=demo", "seed=0"], {"method"}),
        (["sweep=resnet32", "seed=0,1"], {"method", "norm", "seed"}),
    ],
)
def test_what_a_sweep_varies(arguments, varied):
    store_plugins()
    keys = {"method", "seed", "trainer.max_epochs", "noise.delta", "data.imbalance_ratio", "norm", "experiment"}
    single = [one for one in arguments if "," not in one and "(" not in one]  # as Hydra composes a sweep's command
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", single, return_hydra_config=True)
    config.hydra.overrides.task = arguments
    given = {one.partition("=")[0] for one in arguments} | set(config.hydra.sweeper.params or {})
    given |= {one.partition("=")[0] for row in config.hydra.sweeper.get("rows", []) for one in row.split()}
    assert (keys & given) - fixed_keys(config) == varied
