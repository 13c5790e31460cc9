"""A run on a folder of photographs that can be told apart, for the commands that use its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oponm.cli.main import main
from oponm.metrics import read_confusion
from tests.cli.command import files_below, oponm

NAMES = ["ants", "bees", "flies"]
CHECKPOINT = "run/checkpoints/last.ckpt"


def make_photos(folder: Path, number: int = 12, names: list[str] = NAMES) -> Path:
    random = np.random.default_rng(number)
    for name in names:
        shade = 50 + 70 * sorted({*NAMES, *names}).index(name)
        (folder / name).mkdir(parents=True)
        for position in range(number):
            pixels = random.normal(shade, 60, (14, 10, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{position}.jpg")
    return folder


def make_run(folder: Path, *arguments: str) -> Path:
    """Train on ``folder/photos``; the run is ``folder/run``."""
    make_photos(folder / "photos/train", 20)
    make_photos(folder / "photos/test", 7)
    done = oponm(
        *("train", "data=image_folder", "data.root=photos", "data.imbalance_ratio=4", "data.image_size=8"),
        *("trainer.max_epochs=4", "output_dir=run", "logger=none", "phase_cache=off", *arguments),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    """Run a command in this process; it must end with code 2 and one line, and leave the folder as it was."""
    before = files_below(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["oponm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    line = capsys.readouterr().err
    assert (stop.value.code, line.count("\n")) == (2, 1), line
    assert files_below(folder) == before
    return line


def confusions(folder: Path) -> list[list[int]]:
    """The confusion matrix beside a result."""
    said = json.loads((folder / "result.json").read_text())["confusion_matrix"]
    matrix = read_confusion(folder, said)
    assert matrix is not None
    return matrix.toarray().tolist()
