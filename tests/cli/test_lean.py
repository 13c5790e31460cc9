"""What a command does not use, it does not import; measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SPARED = ["kornia", "matplotlib", "sklearn", "timm", "torchvision", "wandb"]


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
print([name for name in {SPARED} if name in sys.modules])

import matplotlib.figure, scipy.signal, torchvision  # can be imported as ever
from lightning_utilities.core.imports import RequirementCache, package_available
print(all(bool(RequirementCache(name)) and package_available(name) for name in ("matplotlib", "scipy", "torchvision")))
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
