"""The gallery shows every method on the digits, with the command that makes its row."""

from __future__ import annotations

import re
from pathlib import Path

from oponm.configs import CONF_DIR, groups
from tests.cli.compose import compose_config

TEXT = (Path(__file__).parents[1] / "docs/gallery.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| `")]
NAMES = [row[0].strip("`") for row in ROWS if "=" not in row[0]]


def test_it_has_a_row_for_every_experiment_on_the_digits():
    experiments = {name.partition("/")[2] for name in groups()["experiment"] if name.startswith("digits_lt/")}
    assert sorted(NAMES) == sorted(experiments)
    listed = re.findall(r"digits_lt/(\w+)", (CONF_DIR / "sweep/gallery.yaml").read_text())
    assert sorted(listed) == sorted(experiments)
    assert f"# {5 * len(listed)} runs" in TEXT


def test_a_row_tells_its_command_and_what_came_out():
    for name, what, accuracy, few, command in (row for row in ROWS if "=" not in row[0]):
        assert command == f"`oponm train -m experiment=digits_lt/{name.strip('`')} seed=0,1,2,3,4`"
        assert all(re.fullmatch(r"\d+\.\d ± \d+\.\d", value) for value in (accuracy, few)), name
        assert what


def test_every_method_is_in_it():
    shown = {compose_config(f"experiment=digits_lt/{name}").method.phases for name in map(str, NAMES)}
    plain = [compose_config(f"method={name}").method.phases for name in groups()["method"]]
    assert all(phases in shown for phases in plain)
