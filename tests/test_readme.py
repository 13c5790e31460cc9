"""What the README shows, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from oponm.configs import groups

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^oponm train (.*?)(?:  +#.*)?$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.strip().splitlines()[-1])
def test_python(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(block.strip().splitlines()) <= 25
    loader = [(torch.rand(8, 3, 32, 32), torch.arange(8) % 3) for _ in range(2)]
    namespace = {"loader": loader}
    exec(block, namespace)
    measured = namespace["run"].metrics["balanced_accuracy"] if "run" in namespace else namespace["loss"]
    assert torch.isfinite(torch.as_tensor(measured))


def test_commands_name_choices_that_exist():
    assert COMMANDS
    for command in COMMANDS:
        for word in command.split():
            group, _, choice = word.partition("=")
            if group in groups():
                assert set(choice.split(",")) <= set(groups()[group]), word


def test_files_that_are_named_exist():
    for name in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (Path(__file__).parents[1] / name).exists(), name
