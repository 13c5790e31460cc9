from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from tests.cli.command import QUICK, files_below, oponm
from tests.data.sources.cifar_original import NAMES
from tests.longtail.test_draws import GOLDEN

SMALL = ["data=cifar10_lt", "data.root=sets", "data.imbalance_ratio=5", "model=small_cnn", "trainer.num_threads=1"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Made-up images in the published format: 60 a file, the brighter the higher the class."""
    generator = np.random.default_rng(0)
    batches = tmp_path / "sets" / CIFAR10.base_folder
    batches.mkdir(parents=True)
    for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list):
        labels = generator.permutation(np.arange(60) % 10)
        data = (labels[:, None] * 25 + generator.integers(0, 20, (60, 3072))).astype(np.uint8)
        (batches / name).write_bytes(pickle.dumps({"data": data, "labels": labels.tolist()}, 2))
    return tmp_path


def test_a_run(folder):
    done = oponm("train", *SMALL, *QUICK, "data.verify=false", "output_dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["choices"]["data"] == "cifar10_lt"
    assert len(result["recall"]) == 10
    assert len(result["split_digest"]) == 64


@pytest.mark.slow
def test_an_epoch_on_the_original_images(original, tmp_path):
    arguments = ["data=cifar10_lt", f"data.root={original}", "data.verify=false", "trainer.max_epochs=1"]
    done = oponm("train", *arguments, "model=small_cnn", "method=erm", "output_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["class_counts"] == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert result["test_counts"] == [1000] * 10
    assert result["class_names"] == NAMES
    assert result["split_digest"] == GOLDEN["cifar10", "ldam"]
    assert result["metrics"]["accuracy"] > 0.15  # by chance: 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["sets/cifar-10-batches-py/", "expected md5", "found", "data.verify=false"]),
        (["data.root=elsewhere", "data.download=false"], ["data.root", "elsewhere", "data.download=true"]),
        (["data.download=maybe"], ["data.download", "'maybe'"]),
    ],
    ids=["another checksum", "missing", "no truth value"],
)
def test_bad_input(folder, arguments, words):
    (folder / "sets" / CIFAR10.base_folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({}))
    before = files_below(folder)
    done = oponm("train", *SMALL, *arguments, "output_dir=run", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("oponm: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert files_below(folder) == before


def test_the_root_is_that_of_the_environment(folder):
    done = oponm("train", "data=cifar100_lt", "data.download=false", cwd=folder, OPONM_DATA="sets")
    assert done.returncode == 2, done.stderr
    assert "sets/cifar-100-python/train" in done.stderr
