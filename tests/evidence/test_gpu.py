"""The study for a GPU in miniature: packed, run, ended, gone on with and collected."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest
from PIL import Image

from evidence import gpu, pack
from oponm.data import CifarLT
from tests.data.test_cifar import write


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


def test_what_is_finished_when_the_time_is_up_is_collected_and_the_rest_goes_on(packed, tmp_path):
    _, folder = packed
    command = [str(tmp_path), "--data", str(folder), "--tiny", "--override", "experiment=study/drs,study/open_dar_full"]
    with pytest.raises(SystemExit) as ended:
        gpu.main([*command, "seed=0"])
    assert ended.value.code == 0
    with (tmp_path / "wrn.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["seed"], line["model"]) for line in lines] == [
        ("drs", "0", "wrn_28_10"),
        ("open_dar_full", "0", "wrn_28_10"),
    ]
    assert lines[1]["reused_seconds"] != "0.0"
    assert {line["imbalance_ratio"] for line in lines} == {"2"}
    begun = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        gpu.main([*command, "seed=0,1", "--seconds", "1"])
    assert ended.value.code == 0
    assert time.monotonic() - begun < gpu.GRACE
