"""What the README shows, runs."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
import torch

from oponm.configs import groups
from oponm.data.sources.list_lt import ImageNetLT, INaturalist2018, PlacesLT
from tests.cli.command import oponm
from tests.cli.runs import NAMES, make_photos

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^oponm train (.*?)(?:  +#.*)?$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.strip().splitlines()[-1])
def test_python(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(block.strip().splitlines()) <= 25
    loader = [(torch.rand(8, 3, 32, 32), torch.arange(8) % 3) for _ in range(2)]
    namespace = {"loader": loader}
    exec(block, namespace)
    if "run" in namespace:
        measured = namespace["run"].metrics["balanced_accuracy"]
    elif "trainer" in namespace:
        measured = namespace["trainer"].callback_metrics["test/balanced_accuracy"]
    else:
        measured = namespace["loss"]
    assert torch.isfinite(torch.as_tensor(measured))


def test_commands_name_choices_that_exist():
    assert COMMANDS
    for command in COMMANDS:
        for word in command.split():
            group, _, choice = word.partition("=")
            if group in groups():
                assert set(choice.strip("[]").split(",")) <= set(groups()[group]), word


def test_files_that_are_named_exist():
    for name in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (Path(__file__).parents[2] / name).exists(), name


def test_every_data_set_has_a_row_with_figures_a_source_and_a_command():
    table = [line.split(" | ") for line in README.splitlines() if "`data=" in line and line.startswith("| ")]
    assert {re.search(r"`data=(\w+)", row[-1])[1] for row in table} == set(groups()["data"])
    assert {len(row) for row in table} == {6}
    for name, images, classes, ratio in (
        ("ImageNet-LT", ImageNetLT.published, "1,000", "256"),
        ("Places-LT", PlacesLT.published, "365", "996"),
        ("iNaturalist 2018", INaturalist2018.published, "8,142", "500"),
    ):
        row = next(row for row in table if name in row[0])
        numbers = [f"{part.num_images:,}" if part else "-" for part in (images.train, images.val, images.test)]
        assert row[1:4] == [" / ".join(numbers), classes, ratio]
        assert row[4].count("](http") == 2


def test_the_commands_for_images_of_one_s_own(tmp_path):
    section = README.partition("## Your own images")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    photos, new = make_photos(tmp_path / "photographs/train", 20).parent, make_photos(tmp_path / "new", 2)
    make_photos(photos / "test", 5)
    places = {"NEW_PHOTOS": str(new), "data.root=PHOTOS": f"data.root={photos}"}
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [command[:2] for command in commands] == [
        ["oponm", name] for name in ("train", "report", "predict", "export")
    ]
    for command in commands:
        words = [places.get(word, word) for word in command[1:]]
        words += ["trainer.max_epochs=2", "data.image_size=8"] if words[0] == "train" else []  # seconds, not hours
        done = oponm(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open(encoding="utf-8")))
    assert len(rows) == 2 * len(NAMES)
    assert {row["prediction"] for row in rows} <= set(NAMES)
    exported = tmp_path / "exported/onnx"
    assert (exported / "model.onnx").stat().st_size > 100_000
    assert (exported / "labels.txt").read_text().split() == NAMES
    assert "# resnet32, 3 classes" in (exported / "MODEL_CARD.md").read_text()
