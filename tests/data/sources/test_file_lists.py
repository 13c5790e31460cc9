from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from oponm.data.sources.file_lists import check_present, read_list
from oponm.errors import InputError


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes, root: Path | None = None) -> str:
    path = written(folder, content)
    with pytest.raises(InputError) as error:
        read_list(path, root or folder, num_classes=3)
    assert "\n" not in error.value.message
    assert error.value.message.startswith(str(path))
    return error.value.message


NAMES = ["train/dog/9.jpg", "val/a b/x y.jpg", "train/cat/1.jpg"]


def test_paths_and_labels_in_the_order_of_the_list(tmp_path):
    path = written(tmp_path, "train/dog/9.jpg 2\ntrain/cat/1.jpg 0\nval/a b/x y.jpg 1\n")
    files, labels = read_list(path, tmp_path / "images", num_classes=3)
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "images/train/dog/9.jpg",
        "images/train/cat/1.jpg",
        "images/val/a b/x y.jpg",
    ]
    assert [files[0], *files[np.array([2, 1])]] == [tmp_path / "images" / name for name in NAMES]
    assert labels.tolist() == [2, 0, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("name", ["a/é b.jpg", "a/1.jpg\u00a0x", "07", "b/-2 1.jpg", "c/\x7f.jpg"], ids=repr)
@pytest.mark.parametrize(
    ("before", "between", "label"), [("", " ", "2"), ("\t ", "\u3000 ", "00002"), ("", "  ", "2\t")]
)
def test_names_are_cut_out_of_what_is_around_them(tmp_path, name, before, between, label):
    path = written(tmp_path, f"é.jpg 0\n{before}{name}{between}{label}\nlast.jpg 1")
    files, labels = read_list(path, tmp_path, num_classes=3)
    assert [*files] == [tmp_path / "é.jpg", tmp_path / name, tmp_path / "last.jpg"]
    assert labels.tolist() == [0, 2, 1]


def test_an_empty_line_at_the_end_is_named(tmp_path):
    assert "list.txt, line 2: is not" in refusal(tmp_path, "a/1.jpg 0\n\n")


@pytest.mark.parametrize("content", ["a/1.jpg 0", "a/1.jpg 0\r\n", "\ufeffa/1.jpg 0\n", "a/1.jpg  0 \n"], ids=repr)
def test_lists_from_any_editor(tmp_path, content):
    files, labels = read_list(written(tmp_path, content), tmp_path, num_classes=1)
    assert [*files] == [tmp_path / "a/1.jpg"]
    assert labels.tolist() == [0]


@pytest.mark.parametrize(
    "line", ["a/1.jpg", "0", "", " 0", "a/1.jpg one", "a/1.jpg 1.0", "a/1.jpg 1_0", "a/1.jpg +1", "a\\1.jpg 0", "a\0 0"]
)
def test_a_malformed_line_is_named(tmp_path, line):
    message = refusal(tmp_path, f"a/0.jpg 0\n{line}\na/2.jpg 0\n")
    assert "list.txt, line 2: is not '<relative path> <label>'" in message


@pytest.mark.parametrize("label", [3, 99, -1])
def test_a_label_out_of_range_is_named(tmp_path, label):
    message = refusal(tmp_path, f"a/0.jpg 2\na/1.jpg 0\na/2.jpg {label}\n")
    assert f"list.txt, line 3: label {label} lies outside [0, 3)" in message


@pytest.mark.parametrize("path", ["../x.jpg", "a/../../x.jpg", "a/..", "..", "/etc/x.jpg", "//x.jpg", "a/../b/x.jpg"])
def test_a_path_that_leaves_the_folder_is_named(tmp_path, path):
    message = refusal(tmp_path, f"a/0.jpg 0\n{path} 0\n")
    assert f"list.txt, line 2: {path} leaves the folder of images" in message


def test_dots_in_names_are_no_way_out(tmp_path):
    assert len(read_list(written(tmp_path, "a..b/..x/1...jpg 0\n"), tmp_path, 1)[0]) == 1


@pytest.mark.parametrize("link", ["photos/a", "photos/a/b", "photos/a/b/1.jpg"])
def test_a_symbolic_link_out_of_the_folder_is_named(tmp_path, link):
    elsewhere = tmp_path / "photos-elsewhere"  # begins like the root, but is not in it
    (elsewhere / "b").mkdir(parents=True)
    (elsewhere / "b/1.jpg").touch()
    (elsewhere / "1.jpg").touch()
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(elsewhere / "1.jpg" if link.endswith(".jpg") else elsewhere)
    message = refusal(tmp_path, "c/0.jpg 0\na/b/1.jpg 0\n", tmp_path / "photos")
    assert f"list.txt, line 2: a/b/1.jpg leaves {tmp_path / 'photos'} through a symbolic link" in message
    assert "data.root" in message


def test_a_broken_link_out_of_the_folder_is_named(tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/a/1.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert "symbolic link" in refusal(tmp_path, "a/1.jpg 0\n", tmp_path / "photos")


def test_links_within_the_folder_and_to_it_are_followed(tmp_path):
    (tmp_path / "real/a").mkdir(parents=True)
    (tmp_path / "real/a/1.jpg").touch()
    (tmp_path / "real/b").symlink_to(tmp_path / "real/a")
    (tmp_path / "real/a/2.jpg").symlink_to("1.jpg")
    (tmp_path / "photos").symlink_to(tmp_path / "real")
    files, _ = read_list(written(tmp_path, "a/1.jpg 0\nb/1.jpg 1\na/2.jpg 1\n"), tmp_path / "photos", 2)
    check_present(files, "photos.tar", "a/*.jpg")
    assert len(files) == 3


@pytest.mark.parametrize(("content", "words"), [("", "is empty"), ("\n", "is empty"), (b"\xff\xfe\x00 0", "UTF-8")])
def test_what_is_no_list_is_refused(tmp_path, content, words):
    assert words in refusal(tmp_path, content)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        read_list(tmp_path / "none.txt", tmp_path, 1)


def test_a_long_list_is_read_quickly(tmp_path):
    number = 115_846
    for label in range(1000):
        (tmp_path / f"train/n{label:08}").mkdir(parents=True)
    path = written(tmp_path, "".join(f"train/n{i % 1000:08}/{i}.JPEG {i % 1000}\n" for i in range(number)))
    started = time.perf_counter()
    files, labels = read_list(path, tmp_path, 1000)
    assert time.perf_counter() - started < 20
    assert len(files) == number
    assert np.bincount(labels).tolist() == [116] * 846 + [115] * 154


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_missing_images_are_counted_and_three_named(tmp_path, missing):
    files = [tmp_path / f"{i}.jpg" for i in range(6)]
    for file in files[missing:]:
        file.touch()
    with pytest.raises(InputError) as error:
        check_present(files, "photos.tar", "train/<class>/*.jpg below data.root")
    named = ", ".join(str(file) for file in files[: min(missing, 3)]) + (", ..." if missing > 3 else "")
    assert error.value.message == (
        f"{missing} of 6 images are missing: {named}; unpack photos.tar as train/<class>/*.jpg below data.root"
    )


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match="1 of 1 images are missing"):
        check_present([tmp_path], "photos.tar", "*.jpg")
