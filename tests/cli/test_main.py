from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oponm.cli.main import COMMANDS, usage
from oponm.configs import CONF_DIR, groups
from tests.cli.command import oponm

UNUSED = ["kornia", "matplotlib", "sklearn", "timm", "torchvision", "wandb"]


def test_help_lists_commands_and_choices(tmp_path):
    done = oponm("--help", cwd=tmp_path, fresh=True)
    assert done.returncode == 0
    assert done.stdout.strip() == usage()
    assert all(f"\n  {command} " in usage() for command in COMMANDS)
    flat = " ".join(usage().split())
    for group, choices in groups().items():
        names = dict.fromkeys(f"{choice.partition('/')[0]}/..." if "/" in choice else choice for choice in choices)
        assert f" {group} {', '.join(names)} " in flat
    assert max(map(len, usage().splitlines())) <= 120


def test_groups_are_the_tree_of_config_files():
    assert set(groups()) == {path.name for path in CONF_DIR.iterdir() if path.is_dir()}
    assert groups()["norm"] == ["aux", "dar", "standard"]
    assert {"cifar10_lt_ir100", "celeba5/open"} <= set(groups()["experiment"])


def test_version(tmp_path):
    assert oponm("--version", cwd=tmp_path).stdout.startswith("oponm 0.")


def test_help_does_not_import_what_it_does_not_need():
    program = (
        "import sys; sys.argv = ['oponm', '--help']; import oponm.__main__;"
        "print([name for name in ('torch', 'hydra', 'pytorch_lightning') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def run(program: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_on_digits_imports_no_other_library(tmp_path):
    program = f"""
import sys
from oponm.cli.main import main
sys.argv = ["oponm", "train", "trainer.max_epochs=2", "output_dir=run", "phase_cache=off"]
main()
print([name for name in {UNUSED} if name in sys.modules])

import matplotlib.figure, scipy.signal, torchvision  # can be imported as ever
from lightning_utilities.core.imports import RequirementCache
print(all(bool(RequirementCache(name)) for name in ("matplotlib", "scipy", "torchvision")))
"""
    assert run(program, tmp_path).splitlines()[-2:] == ["[]", "True"]


@pytest.mark.parametrize("mistake", ["method=nope", "trainer.epochs=3", "data=nope", "+trainer.epochs=3"])
def test_mistakes_in_names_are_refused_before_torch_is_imported(tmp_path, mistake):
    program = f"""
import sys
from oponm.cli.main import main
sys.argv = ["oponm", "train", "{mistake}", "output_dir=run"]
try:
    main()
except SystemExit as stop:
    print(stop.code, "torch" in sys.modules)
"""
    assert run(program, tmp_path).split() == ["2", "False"]
