from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from tests.cli.command import files_below, oponm
from tests.cli.runs import CHECKPOINT, NAMES, confusions, make_photos, make_run, refusal


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("predict"))


def predict(folder: Path, *arguments: str):
    return oponm("predict", f"checkpoint={folder / CHECKPOINT}", *arguments, cwd=folder)


def test_predictions_add_up_to_the_run_s_confusion_matrix(folder):
    done = predict(folder, "photos/test", "output=out/test.csv", "accelerator=cpu")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((folder / "out/test.csv").open()))
    assert list(rows[0]) == ["path", "class", "prediction", "probability", *(f"p_{name}" for name in NAMES)]
    confusion = [[0] * 3 for _ in NAMES]
    for row in rows:
        confusion[NAMES.index(Path(row["path"]).parent.name)][NAMES.index(row["prediction"])] += 1
    assert confusion == confusions(folder / "run")
    assert "21 predictions: out/test.csv" in done.stdout
    right = sum(row["class"] == row["prediction"] for row in rows)
    assert f"accuracy {100 * right / 21:.1f} % of 21 images in class folders" in done.stdout
    told = list(csv.DictReader((folder / "run/test_predictions.csv").open()))
    assert [(row["class"], row["prediction"]) for row in told] == [(row["class"], row["prediction"]) for row in rows]


def test_json_and_files_that_cannot_be_read(folder, tmp_path):
    photos = make_photos(tmp_path / "p, a=(1)", 2)
    (photos / "ants/0.jpg").write_text("no photograph")
    (photos / "ants/notes.txt").write_text("six legs")
    done = predict(folder, str(photos), str(photos / "bees/0.jpg"), "format=json", f"output={tmp_path}/a=b (1).json")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "a=b (1).json").read_text())
    assert len(content["images"]) == 5
    assert "2 files were left out" in done.stdout
    assert "ants/0.jpg: is no image" in done.stdout
    assert "ants/notes.txt: is no image" in done.stdout


def test_the_default_file_is_here_and_is_kept(folder, tmp_path, monkeypatch, capsys):
    arguments = [f"checkpoint={folder / CHECKPOINT}", str(folder / "photos/test/ants/0.jpg")]
    assert oponm("predict", *arguments, cwd=tmp_path).returncode == 0
    before = (tmp_path / "predictions.csv").read_text()
    again = refusal(monkeypatch, capsys, tmp_path, "predict", *arguments, str(folder / "photos/test"))
    assert "predictions.csv exists: choose another output, or set overwrite=true" in again
    assert (tmp_path / "predictions.csv").read_text() == before
    assert oponm("predict", *arguments, "overwrite=true", cwd=tmp_path).returncode == 0
    assert files_below(tmp_path) == {"predictions.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos/test", "format=xml"], "format must be one of csv, json, got 'xml'"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["empty"], "no image found in empty"),
        (["only_text"], "no image found in only_text"),
        (["only_damaged"], "none of 1 images could be read; the first: only_damaged/0.jpg: is no image"),
        ([], "predict needs image files, or folders"),
        ([""], "a file name is empty"),
        (["photos/test", "accelerator=abacus"], "accelerator cannot be used"),
        (["photos/test", "batch_size=0"], "batch_size must be a whole number of at least 1"),
        (["photos/test", "trust=maybe"], "trust must be true or false"),
        (["photos/test", "fromat=json"], "fromat is no setting of oponm predict: did you mean format?"),
        (["photos/test", "output="], "output must name a file"),
        (["photos/test", "output=photos"], "output names a folder"),
        (["photos/test", "checkpoint=nowhere.ckpt"], "checkpoint names no file"),
        (["photos/test", "checkpoint=run/config.yaml"], "run/config.yaml is no checkpoint"),
        (["photos/test", "checkpoint=old.ckpt"], "older version"),
    ],
    ids=str,
)
def test_bad_input(folder, monkeypatch, capsys, arguments, words):
    for name in ("empty", "only_text", "only_damaged"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "only_text/notes.txt").write_text("text")
    (folder / "only_damaged/0.jpg").write_text("text")
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    del content["split"]["statistics"]
    torch.save(content, folder / "old.ckpt")
    assert words in refusal(monkeypatch, capsys, folder, "predict", f"checkpoint={CHECKPOINT}", *arguments)


def test_no_checkpoint(tmp_path, monkeypatch, capsys):
    line = refusal(monkeypatch, capsys, tmp_path, "predict", ".")
    assert line == "oponm: checkpoint must be given: checkpoint=...\n"


def test_a_network_of_one_s_own_is_imported_on_trust_alone(tmp_path):
    (tmp_path / "mynet.py").write_text(
        "from oponm.models import SmallCNN\n"
        "class Net(SmallCNN):\n"
        "    def __init__(self, num_classes, in_channels):\n"
        "        super().__init__(num_classes, in_channels, width=4)\n"
    )
    make_run(tmp_path, "model=custom", "model._target_=mynet.Net")
    refused = predict(tmp_path, "photos/test")
    assert refused.returncode == 2
    assert "names the network mynet.Net, which is not part of oponm" in refused.stderr
    assert predict(tmp_path, "photos/test", "trust=true").returncode == 0
    assert oponm("eval", f"checkpoint={CHECKPOINT}", "output_dir=e", "trust=true", cwd=tmp_path).returncode == 0


def test_the_folder_of_a_run_stands_for_its_last_checkpoint(folder):
    for number, named in enumerate(("run", "run/checkpoints", CHECKPOINT)):
        output = f"output=named{number}.csv"
        done = oponm("predict", f"checkpoint={named}", "photos/test", output, "accelerator=cpu", cwd=folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "named0.csv").read_bytes() == (folder / "named2.csv").read_bytes()
    assert (folder / "named1.csv").read_bytes() == (folder / "named2.csv").read_bytes()
    done = oponm("eval", "checkpoint=run", "output_dir=evaluated", cwd=folder)
    assert done.returncode == 0, done.stderr


def test_a_second_network_is_exported_elsewhere(folder):
    assert oponm("export", "checkpoint=run", "format=state_dict", cwd=folder).returncode == 0
    done = oponm("export", "checkpoint=run", "format=state_dict", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "choose output=exported/run/model.pt, or overwrite=true" in done.stderr


def test_other_shares_of_the_classes_give_what_bayes_says(folder, tmp_path):
    images = str(folder / "photos/test")
    (tmp_path / "shares.csv").write_text("class,share\nants,0.2\nbees,0.3\nflies,0.5\n")
    assert predict(folder, images, f"output={tmp_path}/plain.csv", "accelerator=cpu").returncode == 0
    for name, prior in (("text", "{ants: 0.2, bees: 0.3, flies: 0.5}"), ("file", str(tmp_path / "shares.csv"))):
        told = (f"prior={prior}", f"output={tmp_path}/{name}.csv", "accelerator=cpu")
        done = predict(folder, images, *told)
        assert done.returncode == 0, done.stderr
    plain, text, file = (list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("plain", "text", "file"))
    assert text == file
    for before, after in zip(plain, text, strict=True):  # the run's last phase is balanced
        weighed = [float(before[f"p_{name}"]) * share for name, share in zip(NAMES, (0.2, 0.3, 0.5), strict=True)]
        expected = [value / sum(weighed) for value in weighed]
        assert [float(after[f"p_{name}"]) for name in NAMES] == pytest.approx(expected, abs=1e-4)


def test_the_shares_of_balanced_training_are_known_to_the_checkpoint(folder):
    assert torch.load(folder / CHECKPOINT, weights_only=True)["split"]["prior"] == pytest.approx([1 / 3] * 3)
    before = predict(folder, "photos/test", "output=same.csv", "prior=balanced", "accelerator=cpu")
    assert before.returncode == 0, before.stderr
    done = predict(folder, "photos/test", "output=other.csv", "threshold=0.5")
    assert done.returncode == 2
    assert "threshold is for two classes, and there are 3" in done.stderr
    assert not (folder / "other.csv").exists()
