from __future__ import annotations

import subprocess
import sys

from oponm.cli.main import COMMANDS, usage
from oponm.configs import CONF_DIR, groups
from tests.cli.command import oponm


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
