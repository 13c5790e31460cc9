from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from oponm.data.decode import Form, read_image
from tests.cli.command import oponm
from tests.cli.runs import CHECKPOINT, NAMES, confusions, make_run, refusal
from tests.inference.without_oponm import run_without


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("export"), "method=open", "norm=aux", "model.head=cosine")
    done = oponm("predict", f"checkpoint={CHECKPOINT}", "photos/test", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((folder / "predictions.csv").open()))
    images = torch.stack([read_image(folder / row["path"], Form(8)) for row in rows]).float() / 255
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "labels.npy", np.array([NAMES.index(Path(row["path"]).parent.name) for row in rows]))
    evaluated = oponm("eval", f"checkpoint={CHECKPOINT}", "folder=photos/test", "output_dir=evaluated", cwd=folder)
    assert evaluated.returncode == 0, evaluated.stderr
    np.save(folder / "expected.npy", np.array([[float(row[f"p_{name}"]) for name in NAMES] for row in rows]))
    return folder


RUNNERS = {
    "onnx": "import onnxruntime\n"
    "logits = onnxruntime.InferenceSession({file!r}).run(['logits'], {{'images': images}})[0]",
    "torchscript": "import torch\nlogits = torch.jit.load({file!r})(torch.from_numpy(images)).detach().numpy()",
    "torch_export": "import torch\n"
    "logits = torch.export.load({file!r}).module()(torch.from_numpy(images)).detach().numpy()",
}


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """A second formulation: confidence against accuracy in bins of equal width, weighted by their images."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.floor(confidence * bins).clip(max=bins - 1)
    gaps = [abs((right - confidence)[place == each].sum()) for each in range(bins)]
    return float(sum(gaps) / len(labels))


@pytest.mark.parametrize("format", RUNNERS)
def test_what_leaves_predicts_as_the_run_was_evaluated(folder, format):
    done = oponm("export", f"checkpoint={CHECKPOINT}", f"format={format}", cwd=folder)
    assert done.returncode == 0, done.stderr
    (file,) = (path for path in (folder / "exported" / format).iterdir() if path.name.startswith("model."))
    run = RUNNERS[format].format(file=str(file))
    blocked = ("torch",) if format == "onnx" else ()
    run_without(
        f"import numpy as np\nimages = np.load('images.npy')\n{run}\nnp.save('found.npy', logits)", folder, *blocked
    )
    found = softmax(np.load(folder / "found.npy"), axis=1)
    np.testing.assert_allclose(found, np.load(folder / "expected.npy"), atol=1e-4)
    labels = np.load(folder / "labels.npy")
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (labels, found.argmax(1)), 1)
    for result in ("run", "evaluated"):  # the test set at the end of training, and what oponm eval says of its folder
        told = json.loads((folder / result / "result.json").read_text())
        assert confusions(folder / result) == confusion.tolist()
        assert told["metrics"]["accuracy"] == pytest.approx((labels == found.argmax(1)).mean())
        assert told["metrics"]["ece"] == pytest.approx(_calibration_error(found, labels), abs=1e-4)
    assert f"exported/{format}/{file.name}" in done.stdout


def test_the_model_card_tells_of_the_run(folder):
    done = oponm("export", f"checkpoint={CHECKPOINT}", "format=state_dict", "output=card/weights.pt", cwd=folder)
    assert done.returncode == 0, done.stderr
    card = (folder / "card/MODEL_CARD.md").read_text()
    result = json.loads((folder / "run/result.json").read_text())
    assert f"| balanced accuracy | {100 * result['metrics']['balanced_accuracy']:.1f} |" in card
    assert result["content_digest"] in card
    assert "norm: `aux`" in card
    assert "oponm train data=image_folder data.root=photos" in card
    assert "format=state_dict output=card/weights.pt" in card
    weights = torch.load(folder / "card/weights.pt", weights_only=True)
    assert not [name for name in weights if "aux_" in name]
    assert (folder / "card/labels.txt").read_text().split() == NAMES


def test_files_are_replaced_on_demand_alone(folder, monkeypatch, capsys):
    arguments = ["export", f"checkpoint={CHECKPOINT}", "format=torch_export", "output=twice/model.pt2"]
    assert oponm(*arguments, cwd=folder).returncode == 0
    again = refusal(monkeypatch, capsys, folder, *arguments)
    assert "exists: choose another output, or set overwrite=true" in again
    assert oponm(*arguments, "overwrite=true", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["format=tflite"], "format must be one of state_dict, torchscript, torch_export, onnx"),
        (["input=percent"], "input must be one of unit, uint8, normalized"),
        (["format=state_dict", "input=unit"], "input must be normalized for state_dict"),
        (["checkpoint=nowhere.ckpt"], "checkpoint names no file"),
        (["checkpoint=images.npy"], "images.npy is no checkpoint"),
        (["photos"], "export takes key=value alone"),
        (["output=photos"], "output names a folder"),
        (["output=run/config.yaml/model.onnx"], "run/config.yaml"),
        (["overwrite=perhaps"], "overwrite must be true or false"),
    ],
    ids=str,
)
def test_bad_input(folder, monkeypatch, capsys, arguments, words):
    assert words in refusal(monkeypatch, capsys, folder, "export", f"checkpoint={CHECKPOINT}", *arguments)
