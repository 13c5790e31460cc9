"""From the command to the trainer, few functions are given the whole config: the others get their own group of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_FUNCTIONS, MOST_FILES = 25, 15
SCRIPT = """
import json, os, runpy, sys
from omegaconf import DictConfig
import pytorch_lightning as pl

root, package = sys.argv[1], os.path.join(sys.argv[1], "oponm", "")
given = {}

def is_whole(value):
    if isinstance(value, (DictConfig, dict)):
        return "trainer" in value and "data" in value
    return isinstance(value, (list, tuple)) and any(str(one).startswith("output_dir=") for one in value)

def watch(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package) and code.co_name[0] != "<":
        sys.setprofile(None)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(is_whole(frame.f_locals.get(name)) for name in names):
            given.setdefault((code.co_filename[len(root) + 1 :], getattr(code, "co_qualname", code.co_name)))
        sys.setprofile(watch)

def fit(self, *arguments, **options):
    print(json.dumps(list(given)))
    sys.stdout.flush()
    os._exit(0)

pl.Trainer.fit = fit
sys.argv = ["oponm", "train", *sys.argv[2:]]
sys.setprofile(watch)
runpy.run_module("oponm", run_name="__main__", alter_sys=True)
"""


def test_few_functions_are_given_the_whole_config(tmp_path):
    options = [f"output_dir={tmp_path / 'run'}", "logger=none", "phase_cache=off"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), *options], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    walk = [tuple(each) for each in json.loads(done.stdout.splitlines()[-1])]
    named = "\n".join(f"{file}: {name}" for file, name in walk)
    assert {("oponm/cli/train.py", "run"), ("oponm/training/run.py", "run")} < set(walk)
    assert len(walk) <= MOST_FUNCTIONS, named
    assert len({file for file, _ in walk}) <= MOST_FILES, named
