"""Launchers: what each job is called, and what is said where a setting cannot be used."""

from __future__ import annotations

import math

import pytest
from hydra.types import HydraContext
from omegaconf import OmegaConf

from hydra_plugins.oponm.launchers import SubmititLauncher, SweepLauncher
from oponm.cli.outcomes import LOST, Outcomes
from oponm.errors import InputError
from tests.cli.command import QUICK, oponm


class Losing(SweepLauncher):
    def run(self, jobs):
        return [LOST] * len(jobs)


def test_a_sweeper_that_asks_for_the_same_again_gets_another_folder(tmp_path):
    hydra = {"hydra_logging": {"root": None}, "verbose": False, "sweep": {"dir": str(tmp_path)}}
    hydra |= {"sweeper": {"params": {}}, "overrides": {"task": ["logger=none"]}}
    launcher = Losing()
    config = OmegaConf.create({"seed": 0, "hydra": hydra})
    launcher.setup(hydra_context=HydraContext(None, None), task_function=print, config=config)
    for first in (0, 2):
        ended = launcher.launch([["logger=none", "method=open"], ["logger=none", "method=erm"]], first)
        assert all(math.isnan(job.return_value) for job in ended)
    outcomes = Outcomes.of(tmp_path).read()
    assert [outcome.folder for outcome in outcomes] == [
        *("open,seed=0", "erm,seed=0", "open,repeat=2,seed=0", "erm,repeat=2,seed=0")
    ]
    assert {outcome.reason for outcome in outcomes} == {LOST}


def test_a_setting_that_a_launcher_does_not_have(tmp_path):
    done = oponm("train", "-m", *QUICK, "hydra/launcher=joblib", "hydra.launcher.backend=loky", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "backend" in done.stderr
    with pytest.raises(InputError, match=r"hydra\.launcher cannot be used: Unknown argument 'speed'"):
        SubmititLauncher("local", str(tmp_path), speed=3).run([])
