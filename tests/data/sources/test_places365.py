from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from torchvision.datasets import Places365

from oponm.cli import data as command
from oponm.data.sources import download, places365
from oponm.data.sources.list_lt import PlacesLT
from oponm.errors import InputError

NAMES = ["airfield", "apartment_building-outdoor"]
TRAIN = {"data_256/a/airfield/00000001.jpg": b"one", "data_256/a/apartment_building/outdoor/00000001.jpg": b"two"}
VAL = {"val_256/Places365_val_00000001.jpg": b"three", "val_256/Places365_val_00000002.jpg": b"four"}
LISTS = {
    "categories_places365.txt": b"/a/airfield 0\n/a/apartment_building/outdoor 8\n",
    "places365_val.txt": b"Places365_val_00000001.jpg 8\nPlaces365_val_00000002.jpg 0\n",
}
PLACED = {
    "train/airfield/00000001.jpg": b"one",
    "train/apartment_building-outdoor/00000001.jpg": b"two",
    "val/apartment_building-outdoor/Places365_val_00000001.jpg": b"three",
    "val/airfield/Places365_val_00000002.jpg": b"four",
}


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Site:
    """Archives in the official layout, served from a folder on the loopback device."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch, self.requests, outer = folder, monkeypatch, [], self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path[1:])
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        folder.mkdir()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        monkeypatch.setattr(places365, "BASE_URL", f"http://127.0.0.1:{self.http.server_address[1]}/")
        for which, members in (("TRAIN", TRAIN), ("VAL", VAL), ("LISTS", LISTS)):
            self.publish(which, members | {"data_256/a/airfield/00000009.jpg": b"in no list"})

    def publish(self, which: str, members: dict[str, bytes]) -> None:
        archive, body = getattr(places365, which), packed(members)
        (self.folder / archive.file).write_bytes(body)
        self.patch.setattr(places365, which, archive._replace(md5=hashlib.md5(body).hexdigest(), gigabytes=1e-6))


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site(tmp_path / "site", monkeypatch)
    yield site
    site.http.shutdown()
    site.http.server_close()


ARCHIVES = {archive.file for archive in (places365.TRAIN, places365.VAL, places365.LISTS)}


def files(root: Path) -> dict[str, bytes]:
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name not in {*ARCHIVES, "prepare.lock"}}


def fetch(root: Path, verify: bool = True) -> list[str]:
    told: list[str] = []
    places365.fetch(root, PLACED, verify, told.append)
    return told


def refusal(root: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        fetch(root, **options)
    assert not list(root.glob(".places365-*"))
    return error.value.message


def test_what_was_published():
    assert places365.BASE_URL == Places365._BASE_URL
    assert {archive[:2] for archive in (places365.TRAIN, places365.VAL, places365.LISTS)} == {
        ("train_256_places365standard.tar", "53ca1c756c3d1e7809517cc47c5561c5"),
        ("val_256.tar", "e27b17d8d44f4af9a78502beb927f808"),
        ("filelist_places365-standard.tar", "35a0585fee1fa656440f3ab298f8479c"),
    }


def test_images_are_downloaded_and_sorted_once(tmp_path, site):
    root = tmp_path / "new" / "Places"
    told = fetch(root)
    assert files(root) == PLACED
    assert any("4 images are missing" in line for line in told)
    assert any("downloading" in line and "in all" in line for line in told)
    assert set(site.requests) == ARCHIVES
    assert not list(root.glob(".places365-*"))
    assert fetch(root) == []
    (root / "train/airfield/00000001.jpg").unlink()
    fetch(root)
    assert files(root) == PLACED
    assert len(site.requests) == 3


@pytest.mark.parametrize("damage", ["truncated", "corrupted"])
@pytest.mark.parametrize("which", ["LISTS", "VAL", "TRAIN"])
def test_a_damaged_download_is_refused_and_leaves_nothing(tmp_path, site, damage, which):
    file = site.folder / getattr(places365, which).file
    body = file.read_bytes()
    file.write_bytes(body[:700] if damage == "truncated" else bytes([body[0] ^ 1]) + body[1:])
    message = refusal(tmp_path / "root")
    assert file.name in message
    assert "expected md5" in message
    assert not (tmp_path / "root" / file.name).exists()
    file.write_bytes(body)
    fetch(tmp_path / "root")
    assert files(tmp_path / "root") == PLACED
    assert len(site.requests) == 4


def test_an_archive_put_there_by_hand_is_taken_if_it_is_right(tmp_path, site):
    root = tmp_path / "root"
    root.mkdir()
    for file in site.folder.iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    (root / places365.TRAIN.file).write_bytes(packed(TRAIN))
    assert "data.verify=false" in refusal(root)
    fetch(root, verify=False)
    assert files(root) == PLACED
    assert site.requests == []


@pytest.mark.parametrize("escape", ["../outside", "data_256/a/../../../outside"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path, site, escape):
    site.publish("TRAIN", TRAIN | {escape: b"out"})
    message = refusal(tmp_path / "root")
    assert "cannot be unpacked" in message
    assert "outside" in message
    assert not [name for name in files(tmp_path / "root") if name.startswith("train")]
    assert sorted(os.listdir(tmp_path)) == ["root", "site"]


def test_images_that_an_archive_lacks_are_named(tmp_path, site):
    site.publish("TRAIN", dict([*TRAIN.items()][:1]))
    assert "lacks 1 images" in refusal(tmp_path / "root")


@pytest.mark.parametrize("module", [download, places365])
def test_what_is_interrupted_goes_on(tmp_path, site, monkeypatch, module):
    def interrupt(items, total, title):
        yield next(iter(items))
        raise KeyboardInterrupt

    root = tmp_path / "root"
    with monkeypatch.context() as patch:
        patch.setattr(module, "track", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(root)
    assert files(root) == {}
    (root / ".places365-left").mkdir()
    fetch(root)
    assert files(root) == PLACED
    assert not list(root.glob(".places365-*"))


def test_no_room(tmp_path, site, monkeypatch):
    monkeypatch.setattr(places365, "TRAIN", places365.TRAIN._replace(gigabytes=1e9))
    assert "GB free" in refusal(tmp_path / "root")
    assert site.requests == []


def test_from_the_command_line(tmp_path, site, monkeypatch, capsys):
    lists = {"train": [*PLACED][:2], "val": [*PLACED][:2], "test": [*PLACED][2:]}
    for part, names in lists.items():
        text = "".join(f"{name} {NAMES.index(Path(name).parent.name)}\n" for name in names)
        (tmp_path / f"Places_LT_{part}.txt").write_text(text)
    monkeypatch.setattr(PlacesLT, "published", replace(PlacesLT.published, num_classes=2))
    root = tmp_path / "root"
    arguments = ["prepare", "data=places_lt", f"data.root={root}", "data.verify=false"]
    with pytest.raises(InputError, match=r"Places_LT_train\.txt: is missing; put the published lists there"):
        command.run(arguments)
    assert not root.exists()
    command.run([*arguments, f"data.lists={tmp_path}"])
    assert files(root) == PLACED
    assert "2 training and 2 test images are there" in capsys.readouterr().out
