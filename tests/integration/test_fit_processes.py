"""``fit`` in two processes, that it starts or that torchrun has started, is the command in two processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.training import fit
from tests.cli.command import ROOT, oponm

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from oponm.data import DigitsLT
from oponm.training import fit

def main():
    data = DigitsLT(imbalance_ratio=50)
    {before}
    run = fit(data, max_epochs=3, devices=2, accelerator="cpu", output_dir="run", **{options})
    sys.stdout.write(f"{{len(run.epochs)}} {{run.metrics['accuracy']}}\\n")  # at once, as two processes write
    return run

{call}
"""
GUARDED = 'if __name__ == "__main__":\n    main()'
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def script(folder: Path, launcher: list[str] = (), before: str = "", call: str = GUARDED, **options: object):
    text = SCRIPT.format(root=str(ROOT), before=before, call=call, options=options)
    (folder / "script.py").write_text(text)
    log = [f"--log-dir={folder}/logs"] if launcher else []
    command = [sys.executable, *launcher, *log, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    two = ["trainer.devices=2", "trainer.accelerator=cpu", "trainer.max_epochs=3", "phase_cache=off"]
    done = oponm("train", *two, "output_dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def assert_same_run(one: Path, other: Path) -> None:
    ours, theirs = (
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for folder in (one, other)
    )
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, other)]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert "trainer.devices=2" in results[0]["overrides"]
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


@pytest.mark.slow
def test_under_torchrun(command, tmp_path):
    # In the same group, a network with a head that is not used.
    before = "from tests.models.networks import WithOthersOfThatSize as Odd\n"
    before += "    options = dict(method='erm', norm='standard', max_epochs=2, devices=2, accelerator='cpu')\n"
    before += "    fit(data, Odd, output_dir='first', **options)"
    done = script(tmp_path, TORCHRUN, before)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second
    assert_same_run(tmp_path / "run", command)
    assert (tmp_path / "first/result.json").is_file()


def test_in_processes_of_its_own(command, tmp_path):
    done = script(tmp_path, max_restarts=1)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^3 0\.\d+$", done.stdout, re.MULTILINE)) == 1  # torch 2.10 writes lines of Gloo's beside it
    assert_same_run(tmp_path / "run", command)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    done = script(tmp_path, call="main()")
    assert done.returncode == 1
    assert (
        'devices is 2, which starts processes that import this script again: call fit below if __name__ == "__main__"'
        in (done.stderr)
    )
    assert not (tmp_path / "run").exists()


def test_what_the_processes_cannot_use_is_said_by_the_one_that_started_them(tmp_path):
    done = script(tmp_path, method="crt", head="round")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("oponm.errors.InputError: head must be one of")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": lambda num_classes, in_channels: SmallCNN(num_classes, in_channels)}, "devices .* torchrun"),
        ({"model": SmallCNN(in_channels=1)}, "model cannot be trained in place by 2 processes"),
        ({"num_nodes": 2}, "num_nodes is 2, which needs .* torchrun"),
        ({"devices": 0}, "devices must be a whole number"),
        ({"max_restarts": -1}, "max_restarts must be a whole number"),
    ],
    ids=["lambda", "network", "nodes", "none", "restarts"],
)
def test_bad_input(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        fit(DigitsLT(imbalance_ratio=50), **{"max_epochs": 2, "devices": 2, "output_dir": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()
