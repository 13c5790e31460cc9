from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from oponm.data.sources.digits import read_digits
from oponm.report.thumbnails import data_uris, image_root, pictures


def noisy(side: int) -> Image.Image:
    """An image that no codec makes small."""
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def run(folder, **settings):
    return {"folder": folder / "outputs/run", "settings": {f"data.{key}": value for key, value in settings.items()}}


def test_images_are_read_from_their_paths(tmp_path):
    noisy(200).save(tmp_path / "wide.png")
    found, reason = pictures(run(tmp_path, root=str(tmp_path)), "path", ["wide.png", str(tmp_path / "wide.png")])
    assert [image.size for image in found if image] == [(128, 128)] * 2
    assert reason == ""


@pytest.mark.parametrize("content", [None, b"no image", b""], ids=str)
def test_what_cannot_be_read_is_told(tmp_path, content):
    noisy(9).save(tmp_path / "good.png")
    if content is not None:
        (tmp_path / "bad.png").write_bytes(content)
    found, reason = pictures(run(tmp_path, root=str(tmp_path)), "path", ["bad.png", "good.png"])
    assert [image is None for image in found] == [True, False]
    assert reason == f"1 of 2 images cannot be read below {tmp_path}"


def test_a_relative_root_is_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert image_root(run(tmp_path, root="photos")) == tmp_path / "photos"
    assert image_root(run(tmp_path, table="photos/labels.csv")) == tmp_path / "photos"


def test_the_digits_are_at_hand(tmp_path):
    (image,), reason = pictures(run(tmp_path, _target_="oponm.data.DigitsLT"), "index", ["7"])
    assert reason == ""
    assert np.array_equal(np.asarray(image), (read_digits()[0][7] * 255 / 16).round())


def test_cifar_is_read_where_it_lies(original):
    settings = {"_target_": "oponm.data.CifarLT", "root": str(original), "num_classes": 10}
    found, reason = pictures(run(original, **settings), "index", ["0", "9999"])
    assert [image.size for image in found if image] == [(32, 32)] * 2
    assert reason == ""


def test_nothing_is_downloaded_or_executed_for_a_picture(tmp_path):
    cifar = {"_target_": "oponm.data.CifarLT", "root": str(tmp_path / "data"), "num_classes": 10}
    for settings in (cifar, {"_target_": "os.system", "root": "x"}, {}):
        found, reason = pictures(run(tmp_path, **settings), "index", ["0", "1"])
        assert found == [None, None]
        assert "images of this data set" in reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x", "99999"])
def test_an_index_that_is_none_has_no_picture(tmp_path, name):
    found, reason = pictures(run(tmp_path, _target_="oponm.data.DigitsLT"), "index", [name])
    assert found == [None]
    assert "cannot be read" in reason


def test_small_images_keep_their_pixels():
    image = noisy(8)
    (uri,) = data_uris([image], 10_000)
    assert np.array_equal(np.asarray(decoded(uri)), np.asarray(image))


@pytest.mark.parametrize("budget", [400_000, 120_000, 20_000, 3_000, 0])
def test_the_budget_is_kept(budget):
    uris = data_uris([noisy(128) for _ in range(20)], budget)
    assert sum(map(len, uris)) <= budget
    shown = [decoded(uri).size for uri in uris if uri]
    assert len(set(shown)) <= 1
    assert len(shown) == (20 if budget > 60_000 else len(shown))
    assert all(uris[: len(shown)])  # the first ones
