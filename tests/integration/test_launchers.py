"""Launchers: what each job is called, and what is said where a setting cannot be used."""

from __future__ import annotations

import math
import os

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


SBATCH = """#!/bin/sh
cp "$1" submitted
echo "sbatch: error: invalid partition" >&2
exit 1
"""


def test_slurm_is_asked_for_one_array(tmp_path):
    """By a stand-in that refuses it, which is said in one line."""
    for name, script in {"sbatch": SBATCH, "srun": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    settings = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "hydra.launcher.mem_gb=4"]
    settings.append("+hydra.launcher.additional_parameters={mail-user: me@example.org}")
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = oponm("train", "-m", *QUICK, "seed=0,1", "output_dir=sweep", *settings, cwd=tmp_path, PATH=path)
    assert (done.returncode, done.stdout) == (2, "0 of 2 runs done: sweep\n"), done.stderr
    assert "hydra.launcher cannot be used" in done.stderr
    assert "invalid partition" in done.stderr
    asked = (tmp_path / "submitted").read_text()
    for option in ("array=0-1%2", "partition=gpu", "mem=4GB", "signal=USR2@120", "mail-user=me@example.org"):
        assert f"#SBATCH --{option}\n" in asked
