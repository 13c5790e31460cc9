from __future__ import annotations

import pytest

from oponm.report import Group
from oponm.report.page_data import POINTS, group_curves, read_curves
from tests.report.runs import result, store_full


def group(tmp_path, *texts: str | None) -> Group:
    runs = []
    for seed, text in enumerate(texts):
        folder = tmp_path / str(seed)
        folder.mkdir()
        if text is not None:
            (folder / "metrics.csv").write_text(text)
        runs.append(result(seed=seed, folder=folder))
    return Group("erm", runs)


def test_curves_are_means_over_runs(tmp_path):
    found = group_curves(group(tmp_path, "epoch,train/loss\n0,2\n1,1\n", "epoch,train/loss\n0,4\n1,2\n"))
    assert found == {"train/loss": [[0, 1], [3.0, 1.5]]}


def test_epochs_that_a_run_lacks_are_left_out(tmp_path):
    found = group_curves(group(tmp_path, "epoch,lr\n0,1\n1,1\n2,1\n", "epoch,lr\n1,3\n2,1\n5,1\n"))
    assert found == {"lr": [[1, 2], [2.0, 1.0]]}


def test_a_curve_that_one_run_lacks_is_that_of_the_others(tmp_path):
    found = group_curves(group(tmp_path, "epoch,lr,val/balanced_accuracy\n0,1,0.5\n", None, "epoch,lr\n0,3\n"))
    assert found == {"lr": [[0], [2.0]], "val/balanced_accuracy": [[0], [0.5]]}


def test_curves_without_an_epoch_in_common_are_none(tmp_path):
    assert group_curves(group(tmp_path, "epoch,lr\n0,1\n", "epoch,lr\n1,1\n")) == {}


def test_runs_without_a_folder_have_no_curves():
    assert group_curves(Group("erm", [result()])) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "epoch\n",
        "words",
        "epoch,lr\nx,1\n",
        "epoch,lr\n0,\n",
        "epoch,lr\n0,nan\n1,inf\n",
        "lr\n1\n",
        "epoch,lr\n0\n",
    ],
)
def test_what_is_no_number_is_left_out(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curves(tmp_path / "metrics.csv") == {}


def test_bytes_that_are_no_text_are_no_curves(tmp_path):
    (tmp_path / "metrics.csv").write_bytes(b"epoch,lr\n\xff\xfe,1\n")
    assert read_curves(tmp_path / "metrics.csv") == {}


def test_long_curves_are_thinned_ends_included(tmp_path):
    folder = store_full(tmp_path / "run", result(), epochs=1000)
    epochs, values = group_curves(Group("erm", [result(folder=folder)]))["train/loss"]
    assert (len(epochs), epochs[0], epochs[-1]) == (POINTS, 0, 999)
    assert values == pytest.approx([2 / (epoch + 1) for epoch in epochs])


def test_the_row_of_the_test_set_is_no_epoch(tmp_path):
    folder = store_full(tmp_path / "run", result(), epochs=3)
    assert set(read_curves(folder / "metrics.csv")) == {"train/loss", "train/accuracy", "noise_share", "lr"}
    assert list(read_curves(folder / "metrics.csv")["lr"]) == [0, 1, 2]
