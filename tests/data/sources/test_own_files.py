from __future__ import annotations

import csv
from pathlib import Path

import pytest

from oponm.data import ImageFolderLT
from oponm.data.split_file import write_split
from oponm.errors import InputError
from tests.data.sources.test_image_folder import COUNTS, fill, load, refusal, split_in_two


def parts(data, folder: Path) -> dict[str, str]:
    write_split(folder, data)
    with (folder / "split.csv").open(newline="") as file:
        return {row["path"]: row["part"] for row in csv.DictReader(file)}


def members(split: dict[str, str], part: str) -> set[str]:
    return {path for path, own in split.items() if own == part}


def by_patient(root: Path) -> Path:
    fill(root, {"cat": 24, "dog": 12})
    for folder in root.iterdir():
        for number, file in enumerate(sorted(folder.iterdir())):
            file.rename(folder / f"p{number // 2}_{number}.png")
    return root


def patients(paths: set[str]) -> set[str]:
    return {path.partition("_")[0].rpartition("/")[2] for path in paths}


GROUPS = r"/(p\d+)_"


def test_a_split_file_names_every_image(tmp_path):
    data = load(fill(tmp_path / "photos", COUNTS), val="split", val_size=0.2)
    split = parts(data, tmp_path)
    assert split.keys() == {str(file.relative_to(data.root)) for file in data.root.rglob("*.png")}
    assert [len(members(split, part)) for part in ("train", "val", "test", "none")] == [
        *(sum(counts) for counts in (data.class_counts, data.val_counts, data.test_counts)),
        0,
    ]


def test_what_is_not_drawn_is_in_no_part(tmp_path):
    data = load(fill(tmp_path / "photos", {"cat": 20, "dog": 20}), imbalance_ratio=4)
    assert len(members(parts(data, tmp_path), "none")) == 32 - sum(data.class_counts)


def test_the_split_seed_draws_what_is_held_out_and_the_default_stays(tmp_path):
    root = fill(tmp_path, {"cat": 20, "dog": 20})
    default, zero, other = (load(root, split_seed=seed, val="split") for seed in (None, 0, 1))
    assert default.test_digest == zero.test_digest != other.test_digest
    assert default.val_digest == zero.val_digest != other.val_digest
    assert load(root, draw_seed=1, val="split").test_digest == default.test_digest
    assert load(root, seed=1).test_digest == default.test_digest


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True])
def test_a_split_seed_that_is_none_is_refused(tmp_path, seed):
    assert refusal(tmp_path, split_seed=seed).key == "split_seed"


def test_nothing_is_held_out_for_testing_where_that_is_said(tmp_path):
    data = load(fill(tmp_path / "flat", COUNTS), test_fraction=0)
    assert data.class_counts == [*COUNTS.values()]
    assert (data.test_set, data.test_counts, data.test_digest) == (None, [], "")
    with pytest.raises(InputError, match="no test set") as error:
        data.test_dataloader()
    assert error.value.key == "test_fraction"
    assert refusal(tmp_path / "flat", test_fraction=0, val="test").key == "val"
    assert load(fill(tmp_path / "alone" / "train", COUNTS).parent, test_fraction=0).test_counts == []
    both = load(split_in_two(tmp_path / "both", test="val"), test_fraction=0, val="split")
    assert both.test_counts == []
    assert both.val_counts == [3, 3, 3]


def test_folds_are_all_images_once(tmp_path):
    root = fill(tmp_path / "photos", {"cat": 15, "dog": 10})
    folds = [members(parts(load(root, folds=5, fold=fold), tmp_path), "test") for fold in range(5)]
    assert sorted(path for fold in folds for path in fold) == sorted(
        str(file.relative_to(root)) for file in root.rglob("*.png")
    )
    first, second = (load(root, folds=5, fold=fold).cross_validation for fold in (0, 1))
    assert first["digest"] == second["digest"]
    assert (second["folds"], second["fold"]) == (5, 1)
    fill(root, {"emu": 5})
    assert load(root, folds=5, fold=0).cross_validation["digest"] != first["digest"]
    assert load(root).cross_validation is None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"folds": 5}, "fold"),
        ({"fold": 0}, "folds"),
        ({"folds": 5, "fold": 5}, "fold"),
        ({"folds": 1, "fold": 0}, "folds"),
        ({"folds": 5, "fold": 0, "test_fraction": 0}, "test_fraction"),
        ({"folds": 5, "fold": 0, "split": "split.csv"}, "folds"),
        ({"groups": "p[0-9]"}, "data.groups"),
        ({"groups": "(p"}, "data.groups"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, options, key):
    with pytest.raises(InputError) as error:
        ImageFolderLT(tmp_path, **options)
    assert error.value.key == key


def test_folders_that_say_what_tests_leave_no_room_for_folds(tmp_path):
    root = split_in_two(tmp_path)
    assert refusal(root, folds=3, fold=0).key == "folds"
    assert refusal(root, split=tmp_path / "split.csv").key == "split"


@pytest.mark.parametrize("options", [{}, {"folds": 3, "fold": 1}, {"test_fraction": 0}])
def test_no_patient_is_in_two_parts(tmp_path, options):
    options = {**options, "on_missing_class": "warn"}  # versions of scikit-learn draw groups differently
    data = load(by_patient(tmp_path / "photos"), groups=GROUPS, val="split", val_size=0.25, **options)
    split = parts(data, tmp_path)
    sides = [patients(members(split, part)) for part in ("train", "val", "test")]
    assert sides[0]
    assert sides[1]
    assert bool(sides[2]) == ("test_fraction" not in options)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_a_path_without_a_group_is_named(tmp_path):
    root = by_patient(tmp_path)
    (root / "dog" / "p1_3.png").rename(root / "dog" / "odd.png")
    assert "dog/odd.png: does not match" in str(refusal(root, groups=GROUPS))


def test_a_patient_in_two_folders_is_named(tmp_path):
    root = split_in_two(tmp_path)
    error = refusal(root, groups=r"(\.png)")
    assert "group .png is in train" in str(error)
    assert "test" in str(error)
    assert load(root, groups=r"(\d)\d\d\.png").test_counts == [3, 3, 3]


def test_the_parts_of_a_file_are_taken(tmp_path):
    root = fill(tmp_path / "photos", COUNTS)
    first = load(root, val="split", split_seed=7)
    split = parts(first, tmp_path)
    again = load(root, val="split", split=tmp_path / "split.csv")
    assert parts(again, tmp_path) == split
    assert (again.test_digest, again.val_digest) == (first.test_digest, first.val_digest)


def write(file: Path, rows: dict[str, str]) -> Path:
    file.write_text("path,part\n" + "".join(f"{path},{part}\n" for path, part in rows.items()))
    return file


def test_a_file_without_test_images_makes_no_test_set_and_none_leaves_out(tmp_path):
    data = load(fill(tmp_path / "photos", COUNTS))
    split = {path: "train" if part == "train" else "none" for path, part in parts(data, tmp_path).items()}
    again = load(data.root, split=write(tmp_path / "own.csv", split))
    assert (again.class_counts, again.test_counts) == (data.class_counts, [])


def test_paths_that_are_unknown_or_missing_are_named(tmp_path):
    data = load(fill(tmp_path / "photos", COUNTS))
    split = parts(data, tmp_path)
    missing = {path: part for path, part in split.items() if path != "dog/003.png"}
    assert "dog/003.png" in str(refusal(data.root, split=write(tmp_path / "own.csv", missing)))
    unknown = {**split, "dog/999.png": "test"}
    error = refusal(data.root, split=write(tmp_path / "own.csv", unknown))
    assert "dog/999.png" in str(error)
    assert error.key == "split"
    odd = {**split, "dog/003.png": "holdout"}
    assert "holdout" in str(refusal(data.root, split=write(tmp_path / "own.csv", odd)))
    (tmp_path / "own.csv").write_text("file,part\n")
    assert "no column path" in str(refusal(data.root, split=tmp_path / "own.csv"))
    assert "cannot be read" in str(refusal(data.root, split=tmp_path / "nowhere.csv"))
