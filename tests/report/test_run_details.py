from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oponm.report import collect_runs, compare, group_runs, html_page
from oponm.report.run_details import MOST_ROWS, MOST_RUNS, PICTURES, run_details
from tests.report.runs import full_result, store


def detail(*runs: dict[str, Any]) -> list[SimpleNamespace]:
    groups = group_runs(runs)
    return run_details(groups, compare(groups))


def photographed(folder: Path, classes: int = 4, each: int = 8, names: list[str] | None = None, side: int = 96):
    """A run that mistakes every image, whose photographs no codec makes small."""
    names = names or [f"class {label}" for label in range(classes)]
    random, rows = np.random.default_rng(classes), []
    (folder / "photos").mkdir(parents=True)
    for label in range(classes):
        for number in range(each):
            file = f"{label}-{number}.png"
            Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / "photos" / file)
            shares = random.dirichlet(np.ones(classes))
            shares[label] = 0
            rows.append([file, names[label], names[int(shares.argmax())], *shares.round(6)])
    content = full_result("erm", classes=classes, class_names=names, recall=[0.0] * classes)
    store(folder / "run", content)
    with (folder / "run/test_predictions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "class", "prediction", *(f"p_{name}" for name in names)], *rows])
    (run,) = collect_runs([folder / "run"])[0]
    run["settings"] = {"data.root": str(folder / "photos")}
    return run


def test_the_digits_in_detail(digits_run):
    (found,) = detail(digits_run)
    assert found.name == "erm, seed 0"
    assert len(found.classes.rows) == len(found.matrix) == 10
    assert [sum(count for count, _ in row.cells) for row in found.matrix] == digits_run["test_counts"]
    right = [row.cells[place][0] for place, row in enumerate(found.matrix)]
    assert [count / 50 for count in right] == digits_run["recall"]  # counts fall with the label
    assert found.diagram.error == pytest.approx(100 * digits_run["metrics"]["ece"], abs=0.01)
    assert found.remarks == []
    for own in found.errors:
        label = int(own.name)
        assert own.text == f"{50 - right[label]} of 50 wrong"
        assert len(own.errors) == min(6, 50 - right[label])
        assert all(error.uri.startswith("data:image/png;base64,") and error.taken != own.name for error in own.errors)
        assert [error.percent for error in own.errors] == sorted((error.percent for error in own.errors), reverse=True)


@pytest.mark.parametrize(
    ("counts", "depths"), [([[10, 0], [1, 19]], [(10, 0), (1, 10)]), ([[0, 0], [3, 7]], [(0, 0), (3, 7)])], ids=str
)
def test_the_depth_of_a_color_is_the_share_of_the_row(counts, depths):
    (found,) = detail(full_result("erm", classes=2, confusion_matrix=counts))
    assert [tuple(depth for _, depth in row.cells) for row in found.matrix] == depths


def test_many_classes_have_pairs_in_place_of_a_matrix():
    (few,) = detail(full_result("erm", classes=30))
    assert (len(few.matrix), few.pairs) == (30, [])
    (many,) = detail(full_result("erm", classes=31))
    assert (many.matrix, len(many.pairs)) == ([], 20)
    assert [pair.share for pair in many.pairs] == sorted((pair.share for pair in many.pairs), reverse=True)


def test_very_many_classes_have_a_shorter_table():
    (found,) = detail(full_result("erm", classes=MOST_ROWS + 1))
    assert len(found.classes.rows) == MOST_ROWS
    assert any("lowest recall, of 201" in line for line in found.remarks)


def test_a_run_without_predictions_says_so(tmp_path, digits_folder):
    shutil.copytree(digits_folder, tmp_path / "run")
    (tmp_path / "run/test_predictions.csv").unlink()
    (tmp_path / "run/confusion_matrix.npz").unlink()
    (found,) = detail(*collect_runs([tmp_path])[0])
    assert (found.errors, found.diagram, found.matrix) == ([], None, [])
    assert [line.split(",")[0] for line in found.remarks] == [
        "the run has no confusion matrix",
        "the run has no test_predictions.csv",
    ]


def test_a_damaged_file_of_predictions_is_told(tmp_path):
    run = photographed(tmp_path)
    (tmp_path / "run/test_predictions.csv").write_text("path,class\n")
    (found,) = detail(run)
    assert found.errors == []
    assert any("no errors are shown: test_predictions.csv" in line for line in found.remarks)


def test_images_that_are_gone_are_told(tmp_path):
    run = photographed(tmp_path)
    (first,) = detail(run)
    assert all(error.uri for own in first.errors for error in own.errors)
    for file in (tmp_path / "photos").iterdir():
        file.unlink()
    (found,) = detail(run)
    assert [own.name for own in found.errors] == [own.name for own in first.errors]
    assert not any(error.uri for own in found.errors for error in own.errors)
    assert found.remarks == [f"24 of 24 images cannot be read below {tmp_path / 'photos'}"]
    groups = group_runs([run])
    assert html_page(groups, []).count("no picture") == 24


def test_a_run_without_test_images_has_no_detail():
    assert detail(full_result("erm", metrics={}, recall=[None] * 10)) == []


def test_a_perfect_run_has_no_errors(tmp_path):
    run = photographed(tmp_path, classes=2)
    rows = ["path,class,prediction,p_class 0,p_class 1", "x.png,class 0,class 0,1.0,0.0"]
    (tmp_path / "run/test_predictions.csv").write_text("\n".join(rows))
    (found,) = detail(run)
    assert (found.errors, found.remarks) == ([], [])
    assert found.diagram.error == 0


def test_many_groups_have_a_few_details():
    runs = [full_result(f"m{number}", classes=classes) for number in range(8) for classes in (5, 10, 12)]
    assert len(detail(*runs)) == MOST_RUNS
    groups = group_runs(runs)
    assert "10 of 24 settings are here" in html_page(groups, compare(groups))


def test_the_seed_and_the_number_of_runs_are_told():
    (found,) = detail(*(full_result("erm", seed) for seed in (3, 1)))
    assert found.name == "erm, seed 1 (of 2 runs)"


@pytest.mark.parametrize(("groups", "classes"), [(1, 30), (10, 12)])
def test_the_page_stays_below_five_megabytes(tmp_path, groups, classes):
    runs = [
        photographed(tmp_path / str(number), classes + number, each=6 if groups == 1 else 2, side=128)
        for number in range(groups)
    ]
    found = group_runs(runs)
    assert len(found) == groups
    page = html_page(found, compare(found))
    sources = re.findall(r'<img src="([^"]*)"', page)
    assert len(sources) >= 120
    assert sum(map(len, sources)) <= PICTURES
    assert "no picture" not in page
    assert len(page.encode()) < 5_000_000


HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "\"犬\" & 'b'", "ضفدع" * 40]


def test_names_are_text_wherever_they_stand(tmp_path):
    page = html_page(group_runs([photographed(tmp_path, names=HOSTILE)]), [])
    assert "<img src=x" not in page
    assert page.count("<script") == 2
    assert "alert(2)</script>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.replace("<wbr>", "")
    assert "犬" in page
