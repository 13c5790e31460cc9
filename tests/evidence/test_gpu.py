"""The study for a GPU in miniature: packed, run, ended, gone on with and collected."""

from __future__ import annotations

import csv
import os
import sys
import time

import numpy as np
import pytest
from PIL import Image

from evidence import gpu, pack
from oponm.data import CifarLT
from tests.data.sources.test_cifar import write

ROWS = 'hydra.sweeper.rows=["method=drs","method=open norm=dar norm.noise_grad=full"]'


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar")
    write(root)
    folder = root / "cifar10_lt_ir2"
    pack.main([str(folder), "--root", str(root), "--imbalance-ratio", "2", "--no-verify"])
    return root, folder


def test_packed_images_are_the_drawn_ones_to_the_bit(packed):
    root, folder = packed
    data = CifarLT(root=root, imbalance_ratio=2, verify=False, download=False)
    data.setup("fit")
    counts = [len(list((folder / "train" / name).iterdir())) for name in data.class_names]
    assert counts == data.class_counts
    for number in (0, 17, len(data.train_set.images) - 1):
        (file,) = (folder / "train").glob(f"*/{number:05}.png")
        assert file.parent.name == data.class_names[data.train_set.targets[number]]
        assert np.array_equal(np.asarray(Image.open(file)), data.train_set.images[number].permute(1, 2, 0).numpy())


def test_a_folder_in_use_is_refused(packed, capsys):
    root, folder = packed
    with pytest.raises(SystemExit) as ended:
        pack.main([str(folder), "--root", str(root), "--no-verify"])
    assert ended.value.code == 2
    assert "holds something already" in capsys.readouterr().err


def lines(folder):
    with (folder / "wrn.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif("OPONM_SLOW_TESTS" not in os.environ, reason="a minute of two cores")
def test_what_is_missing_is_run_and_collected_with_what_was_there(packed, tmp_path):
    _, folder = packed
    command = [str(tmp_path), "--data", str(folder), "--tiny", "--override", ROWS]
    with pytest.raises(SystemExit) as ended:
        gpu.main([*command, "seed=0"])
    assert ended.value.code == 0
    before = lines(tmp_path)
    assert [(line["method"], line["seed"], line["model"]) for line in before] == [
        ("drs", "0", "wrn_28_10"),
        ("open_dar_full", "0", "wrn_28_10"),
    ]
    assert before[1]["reused_seconds"] != "0.0"
    assert {line["imbalance_ratio"] for line in before} == {"2"}
    with pytest.raises(SystemExit) as ended:
        gpu.main([*command, "seed=0,1"])
    assert ended.value.code == 0
    after = lines(tmp_path)
    assert [line for line in after if line["seed"] == "0"] == before
    assert [line["method"] for line in after if line["seed"] == "1"] == ["drs", "open_dar_full"]


def test_a_command_is_ended_when_the_time_is_up():
    started = time.monotonic()
    wait = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); time.sleep(60)"
    assert gpu.run_until(started + 1, [sys.executable, "-c", wait]) is None
    assert 1 <= time.monotonic() - started < 30
    assert gpu.run_until(started + 60, [sys.executable, "-c", "raise SystemExit(3)"]) == 3


def test_time_that_is_up_before_anything_is_finished_is_said(packed, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        gpu.main([str(tmp_path), "--data", str(packed[1]), "--tiny", "--seconds", "0"])
    assert ended.value.code == 2
    assert "no finished training run" in capsys.readouterr().err
