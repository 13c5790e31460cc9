from __future__ import annotations

import csv
from pathlib import Path

import pytest

from oponm.data import ImageFolderLT, TableLT
from oponm.errors import InputError
from tests.data.sources.test_image_folder import COUNTS, fill

Row = dict[str, str]


def rows_of(root: Path) -> list[Row]:
    files = sorted(root.rglob("*.png"))
    return [{"path": str(file.relative_to(root)), "label": file.parent.name} for file in files]


def write(file: Path, rows: list[Row]) -> Path:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file


def load(table, **options) -> TableLT:
    data = TableLT(table, **options)
    data.setup()
    return data


def refusal(table, **options) -> InputError:
    with pytest.raises(InputError) as error:
        load(table, **options)
    return error.value


def test_a_table_of_a_folder_is_the_folder(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    folder = ImageFolderLT(root, val="split", val_size=0.2)
    folder.setup()
    rows = rows_of(root)
    for table in (write(tmp_path / "labels.csv", rows), rows):
        data = load(table, root=root, val="split", val_size=0.2)
        assert (data.class_names, data.class_counts) == (folder.class_names, folder.class_counts)
        assert [data.content_digest, data.test_digest] == [folder.content_digest, folder.test_digest]
    assert load(write(root / "labels.csv", rows)).class_counts == [8, 5, 3]  # root is the folder of the table


class Frame:
    """As pandas has it, which need not be installed."""

    columns = ("path", "label")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def to_dict(self, orient: str) -> list[Row]:
        assert orient == "records"
        return self.rows


def test_a_frame_is_a_table(tmp_path):
    root = fill(tmp_path, COUNTS)
    assert load(Frame(rows_of(root)), root=root).class_counts == load(rows_of(root), root=root).class_counts
    try:
        import pandas
    except ImportError:
        return
    assert load(pandas.DataFrame(rows_of(root)), root=root).class_counts == [8, 5, 3]


def test_parts_and_groups_are_columns(tmp_path):
    root = fill(tmp_path, {"cat": 12, "dog": 12})
    rows = [
        {**row, "part": "test" if i % 3 == 0 else "train", "who": str(i % 3)} for i, row in enumerate(rows_of(root))
    ]
    table = write(tmp_path / "labels.csv", rows)
    data = load(table, split_column="part", group_column="who")
    assert (data.class_counts, data.test_counts) == ([8, 8], [4, 4])
    rows[0]["part"] = "train"
    assert "group 0 is in" in str(refusal(write(table, rows), split_column="part", group_column="who"))
    grouped = load(table, group_column="who", test_fraction=0.34)
    assert {row["who"] for row in rows} == {"0", "1", "2"}
    assert grouped.test_counts == [4, 4]


def test_numbers_are_in_their_order(tmp_path):
    root = fill(tmp_path, {"10": 5, "9": 5, "2": 5})
    assert load(rows_of(root), root=root).class_names == ["2", "9", "10"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "../secret.png"}, "row 3: ../secret.png leaves"),
        ({"path": "/etc/passwd"}, "row 3: /etc/passwd leaves"),
        ({"path": "cat/000.png"}, "row 3: names cat/000.png a second time"),
        ({"path": "cat/999.png"}, "1 of 20 images are missing"),
        ({"label": ""}, "row 3: has no label"),
        ({"label": float("nan")}, "row 3: has no label"),
        ({"split": "holdout"}, "row 3: split must be"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path, changes, words):
    root = fill(tmp_path, COUNTS)
    rows = [{**row, "split": "train"} for row in rows_of(root)]
    rows[3] |= changes
    assert words in str(refusal(rows, root=root))


def test_a_link_does_not_leave_the_root(tmp_path):
    root, outside = fill(tmp_path / "photos", COUNTS), fill(tmp_path / "others", {"cat": 1})
    (root / "cat" / "link.png").symlink_to(outside / "cat" / "000.png")
    assert "symbolic link" in str(refusal(rows_of(root), root=root))


def test_columns_that_there_are_not_are_named(tmp_path):
    root = fill(tmp_path, COUNTS)
    for key in ("path_column", "label_column", "split_column", "group_column"):
        error = refusal(rows_of(root), root=root, **{key: "nothing"})
        assert error.key == key
        assert "path, label" in str(error)
    error = refusal(write(tmp_path / "labels.csv", rows_of(root)), label_column="nothing")
    assert error.key == "table"
    assert "no column nothing" in str(error)
    for table in (7, {"path": "1.jpg"}, ["1.jpg"], []):
        assert refusal(table, root=root).key == "table"


def test_a_table_in_another_encoding_is_refused_before_training(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    lines = ["path,label", *(f"{row['path']},K\xe4fer {row['label']}" for row in rows_of(root))]
    (root / "labels.csv").write_bytes("\n".join(lines).encode("latin-1"))
    assert "labels.csv, line 2: label 'K\\udce4fer" in (message := refusal(root / "labels.csv").message)
    assert "is no text in UTF-8; save the table as UTF-8" in message
