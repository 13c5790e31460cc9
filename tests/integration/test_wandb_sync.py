"""A run that was logged offline arrives at a server by ``wandb sync``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.command import oponm
from tests.cli.wandb_server import wandb_server


@pytest.mark.slow
def test_what_was_logged_offline_arrives(tmp_path):
    settings = ["trainer.max_epochs=2", "logger=wandb", "logger.wandb.offline=true", "output_dir=run"]
    done = oponm("train", *settings, cwd=tmp_path, WANDB_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("run/wandb/offline-run-*")
    told = {"WANDB_API_KEY": "a" * 40, "WANDB_DATA_DIR": str(tmp_path / "data"), "NETRC": str(tmp_path / "no-netrc")}
    with wandb_server() as received:
        environment = {**os.environ, **told, "WANDB_BASE_URL": received.address, "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-m", "wandb", "sync", str(folder)]
        synced = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert synced.returncode == 0, synced.stderr
    assert received.complete
    assert json.loads((tmp_path / "run/wandb.json").read_text())["id"] == received.run["name"]
    config = json.loads(received.run["config"])
    assert config["trainer"]["value"]["max_epochs"] == 2
    assert set(config["_wandb"]["value"]["visualize"]) >= {"charts/class_accuracy", "charts/confusion_matrix"}
    assert [row["epoch"] for row in received.history if "train/loss" in row] == [0, 1]
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert received.summary["split_digest"] == result["split_digest"]
    assert abs(received.summary["test/accuracy"] - result["metrics"]["accuracy"]) < 1e-6
    shown = {name: value for row in received.history for name, value in row.items() if isinstance(value, dict)}
    assert set(shown) >= {"data/images", "test/confusion_matrix", "test/noise_histogram", "charts/class_accuracy_table"}
    for name, media in shown.items():
        for path in media.get("filenames") or [media["path"]]:
            assert received.files[path] == media.get("size", received.files[path]), name
    assert [each["artifactTypeName"] for each in received.artifacts].count("model") == 1
