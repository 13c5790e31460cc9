"""The gallery shows every method on the digits, with the command that makes its row."""

from __future__ import annotations

import re
from pathlib import Path

from oponm.configs import groups
from tests.cli.compose import compose_config, jobs_of

TEXT = (Path(__file__).parents[2] / "docs/gallery.md").read_text()
ROWS = re.findall(r"^\| (.+) \| (.+) \| (.+) \| `oponm train -m (.+) seed=0,1,2,3,4` \|$", TEXT, re.MULTILINE)
STUDIED = {"drs_classifier", "logit_adjustment_deferred", "open_balanced_softmax"}  # in docs/evidence.md


def test_it_has_a_row_for_every_run_of_its_sweep():
    listed = [" ".join(job).replace("=False", "=false").replace("=True", "=true") for job in jobs_of("gallery")]
    assert sorted(command for *_, command in ROWS) == sorted(listed)
    assert f"# {5 * len(listed)} runs" in TEXT


def test_a_row_tells_what_came_out():
    for what, accuracy, few, _ in ROWS:
        assert all(re.fullmatch(r"\d+\.\d ± \d+\.\d", value) for value in (accuracy, few)), what


def test_every_method_is_in_it():
    shown = {compose_config(*command.split()).method.phases for *_, command in ROWS}
    plain = [compose_config(f"method={name}").method.phases for name in groups()["method"] if name not in STUDIED]
    assert all(phases in shown for phases in plain)
