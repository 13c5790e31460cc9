"""The README is short; the pages that it leads to first say what holds. What pages show is run by test_documents."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

from oponm.configs import groups
from oponm.data.sources.list_lt import ImageNetLT, INaturalist2018, PlacesLT
from tests.cli.command import oponm
from tests.cli.runs import NAMES, make_photos

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA_SETS = (ROOT / "docs/reference/data_sets.md").read_text(encoding="utf-8")
PHOTOGRAPHS = (ROOT / "docs/tutorials/own_images.md").read_text(encoding="utf-8")


def test_it_is_short_and_shows_the_method_and_the_code_first():
    lines = README.splitlines()
    assert len(lines) <= 150
    first = "\n".join(lines[:20])
    assert "](docs/method.svg)" in first
    assert "noise_routing(batch.is_noise)" in first


def test_every_data_set_has_a_row_with_figures_a_source_and_a_command():
    table = [line.split(" | ") for line in DATA_SETS.splitlines() if "`data=" in line and line.startswith("| ")]
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
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", PHOTOGRAPHS, flags=re.DOTALL) if "predict" in text]
    photos, new = make_photos(tmp_path / "photographs/train", 20).parent, make_photos(tmp_path / "new", 2)
    make_photos(photos / "test", 5)
    places = {"NEW_PHOTOS": str(new), "data.root=PHOTOS": f"data.root={photos}"}
    commands = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
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
