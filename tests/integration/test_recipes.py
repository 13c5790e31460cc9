"""The recipes of CONTRIBUTING.md: a copy of the repository gets their files, and a run takes all of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2].partition("\n## ")[0]
CHOICES = {
    "method": "late_noise",
    "loss": "tempered",
    "noise": "stripes",
    "norm": "unscaled",
    "callbacks": "learning_rates",
    "data": "patches_lt",
}
SCRIPT = """
import sys
from oponm.cli.main import main
from oponm.configs import groups
chosen = dict(word.split("=") for word in sys.argv[2:] if word.split("=")[0] in groups())
assert all(choice in groups()[group] for group, choice in chosen.items())
main()
"""


def new_files() -> Iterator[tuple[str, str]]:
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", RECIPES, flags=re.DOTALL):
        first, _, rest = block.partition("\n")
        yield first.removeprefix("# "), rest


def changes() -> Iterator[tuple[str, list[str]]]:
    for block in re.findall(r"```diff\n(.*?)```", RECIPES, flags=re.DOTALL):
        for part in block.split("--- ")[1:]:
            file, *lines = part.splitlines()
            yield file, lines


def change(text: str, lines: list[str]) -> str:
    """Apply the lines of a diff: those that stay or go are found one after the other."""
    old, place = text.splitlines(), 0
    for line in lines:
        mark, content = line[0], line[1:]
        if mark == "+":
            old.insert(place, content)
            place += 1
            continue
        assert content in old[place:], f"CONTRIBUTING.md names a line that is not there: {content!r}"
        place = old.index(content, place)
        if mark == "-":
            del old[place]
        else:
            place += 1
    return "\n".join(old) + "\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for name in ("oponm", "conf", "hydra_plugins", "results"):
        shutil.copytree(ROOT / name, folder / name)
    for file, content in new_files():
        assert not (folder / file).exists(), file
        (folder / file).write_text(content, encoding="utf-8")
    for file, lines in changes():
        path = folder / file
        path.write_text(change(path.read_text(encoding="utf-8"), lines), encoding="utf-8")
    return folder


def test_each_kind_of_choice_has_a_recipe():
    named = {Path(file).parent.name: Path(file).stem for file, _ in new_files() if file.startswith("conf/")}
    assert named == CHOICES


def test_a_run_takes_what_the_recipes_add(copy, tmp_path):
    words = [*(f"{group}={choice}" for group, choice in CHOICES.items()), "trainer.max_epochs=10", "output_dir=run"]
    words += ["optimizer.lr=0.01", "logger=csv", "phase_cache=off", "norm.noise_grad=full"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "train", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(copy), "OPONM_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("learning rate: ") == 10
    config = (tmp_path / "run/config.yaml").read_text(encoding="utf-8")
    for made in ("oponm.losses.Tempered", "distribution: stripes", "kind: unscaled", "oponm.data.PatchesLT"):
        assert made in config
    assert '"palace"' in (tmp_path / "run/result.json").read_text(encoding="utf-8")


def test_the_files_pass_the_rules(copy):
    added = [str(copy / file) for file, _ in new_files() if file.endswith(".py")]
    ruff = Path(sys.executable).with_name("ruff")
    for action in (["check"], ["format", "--check", "--diff"]):
        command = [str(ruff), *action, "--config", str(ROOT / "pyproject.toml"), *added]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
