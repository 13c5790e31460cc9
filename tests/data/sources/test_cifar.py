from __future__ import annotations

import hashlib
import http.server
import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from oponm.data.sources import cifar, download
from oponm.data.sources.cifar import CifarLT
from oponm.errors import InputError
from oponm.longtail import draw_indices
from tests.data.sources.cifar_original import NAMES
from tests.longtail.test_draws import GOLDEN

REAL = {10: CIFAR10, 100: CIFAR100}
ROWS = {10: 40, 100: 300}  # a file


def contents(num_classes: int) -> dict[str, dict]:
    """Every file's table: balanced labels in mixed order, pixels at random."""
    real, generator = REAL[num_classes], np.random.default_rng(num_classes)
    fine = real.meta["key"].startswith("fine")
    tables: dict[str, dict] = {}
    for name, _ in (*real.train_list, *real.test_list):
        labels = generator.permutation(np.arange(ROWS[num_classes]) % num_classes).tolist()
        data = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        tables[name] = {"batch_label": name, "data": data, "filenames": [f"{i}.png" for i in range(len(labels))]}
        tables[name] |= {"fine_labels": labels, "coarse_labels": [0] * len(labels)} if fine else {"labels": labels}
    names = NAMES if num_classes == 10 else [f"thing {i:02}" for i in range(100)]
    tables[real.meta["filename"]] = {real.meta["key"]: names}
    return tables


def pickled(num_classes: int, protocol: int = 2) -> dict[str, bytes]:
    return {name: pickle.dumps(table, protocol) for name, table in contents(num_classes).items()}


def write(root: Path, num_classes: int = 10, files: dict[str, bytes] | None = None) -> Path:
    """The files unpacked; returns their folder."""
    folder = root / REAL[num_classes].base_folder
    folder.mkdir(parents=True)
    for name, data in (pickled(num_classes) if files is None else files).items():
        (folder / name).write_bytes(data)
    return folder


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Server:
    """Serves ``body`` on the loopback device; ``cut`` ends the connection after so many bytes."""

    def __init__(self) -> None:
        self.body, self.status, self.cut, self.requests = b"", 200, None, 0
        self.slow = threading.Event()
        self.slow.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[: outer.cut])
                self.wfile.flush()
                outer.slow.wait(30)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.slow.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


def publish(monkeypatch, server: Server | None, num_classes: int = 10, members: dict[str, bytes] | None = None) -> type:
    """Small files take the place of the published ones: checksums, archive, address."""
    real, files = REAL[num_classes], pickled(num_classes)
    packed = archive({f"{real.base_folder}/{name}": data for name, data in files.items()} | (members or {}))

    class Small(real):
        url = f"{server.url}/{real.filename}" if server else "http://127.0.0.1:9/none"
        tgz_md5 = md5(packed)
        train_list = [[name, md5(files[name])] for name, _ in real.train_list]
        test_list = [[name, md5(files[name])] for name, _ in real.test_list]
        meta = real.meta | {"md5": md5(files[real.meta["filename"]])}

    if server:
        server.body = packed
    monkeypatch.setitem(cifar.PUBLISHED, num_classes, Small)
    return Small


def load(root: Path, num_classes: int = 10, **options) -> CifarLT:
    data = CifarLT(root, num_classes, **options)
    data.setup()
    return data


def refusal(root: Path, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        load(root, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def check_nothing_left(root: Path) -> None:
    assert not root.exists() or not list(root.iterdir())


@pytest.mark.parametrize("num_classes", [10, 100])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_everything_comes_in_the_order_of_the_files(tmp_path, num_classes, protocol):
    write(tmp_path, num_classes, pickled(num_classes, protocol))
    data, tables, real = load(tmp_path, num_classes, verify=False), contents(num_classes), REAL[num_classes]
    key = "fine_labels" if num_classes == 100 else "labels"
    for files, images, targets in (
        (real.train_list, data.train_set.images, data.train_set.targets),
        (real.test_list, data.test_set.images, data.test_set.targets),
    ):
        assert targets.tolist() == [label for name, _ in files for label in tables[name][key]]
        pixels = np.concatenate([tables[name]["data"] for name, _ in files])
        assert images.dtype == torch.uint8
        assert images.shape == (len(pixels), 3, 32, 32)
        assert torch.equal(images.flatten(1), torch.from_numpy(pixels))
    assert data.class_names == tables[real.meta["filename"]][real.meta["key"]]
    assert data.image_shape == (3, 32, 32)


def test_pixels_are_those_of_torchvision(tmp_path, monkeypatch):
    published = publish(monkeypatch, None)
    write(tmp_path)
    data, reference = load(tmp_path), published(str(tmp_path), train=True)
    assert np.array_equal(data.train_set.images.permute(0, 2, 3, 1).numpy(), reference.data)
    assert data.train_set.targets.tolist() == reference.targets
    assert data.class_names == reference.classes


@pytest.mark.parametrize("draw", ["ldam", "m2m"])
def test_a_tail_is_drawn(tmp_path, draw):
    write(tmp_path)
    everything, data = load(tmp_path, verify=False), load(tmp_path, verify=False, imbalance_ratio=10, draw=draw)
    assert data.class_counts == [20, 15, 11, 9, 7, 5, 4, 3, 2, 2]
    assert data.test_counts == [4] * 10
    drawn = draw_indices(everything.train_set.targets, data.class_counts, draw)
    assert torch.equal(data.train_set.images, everything.train_set.images[drawn])


def python2_array(shape: tuple[int, int], data: bytes, module: bytes) -> bytes:
    """An array as numpy pickled it under Python 2: its bytes are a str."""
    reconstruct = b"c" + module + b"\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntb"
    count = len(data).to_bytes(4, "little")
    return reconstruct + b"(I1\n(I%d\nI%d\nt" % shape + dtype + b"I00\nT" + count + data + b"tb"


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"], ids=bytes.decode)
def test_files_of_python_2_are_read(tmp_path, module):
    files, tables = pickled(10), contents(10)
    for name, table in tables.items():
        if "data" in table:
            labels = b"".join(b"I%d\n" % label for label in table["labels"])
            array = python2_array(table["data"].shape, table["data"].tobytes(), module)
            files[name] = b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + labels + b"eu."
    write(tmp_path, 10, files)
    data = load(tmp_path, verify=False)
    expected = np.concatenate([tables[name]["data"] for name, _ in CIFAR10.train_list])
    assert np.array_equal(data.train_set.images.flatten(1).numpy(), expected)


@pytest.mark.parametrize("num_classes", [10, 100])
def test_a_download_is_put_in_place(tmp_path, monkeypatch, server, num_classes):
    publish(monkeypatch, server, num_classes)
    root = tmp_path / "new" / "data"
    data = load(root, num_classes)
    assert sum(data.class_counts) == ROWS[num_classes] * len(REAL[num_classes].train_list)
    assert os.listdir(root) == [REAL[num_classes].base_folder]
    assert set(os.listdir(root / REAL[num_classes].base_folder)) == set(pickled(num_classes))
    load(root, num_classes, download=False)
    assert server.requests == 1


def test_an_existing_download_is_found(tmp_path, monkeypatch, server):
    publish(monkeypatch, server)
    write(tmp_path)
    load(tmp_path)
    assert server.requests == 0


@pytest.mark.parametrize("download", [True, False])
def test_an_archive_put_there_by_hand_is_unpacked(tmp_path, monkeypatch, server, download):
    published = publish(monkeypatch, server)
    (tmp_path / published.filename).write_bytes(server.body)
    load(tmp_path, download=download)
    assert server.requests == 0
    assert set(os.listdir(tmp_path)) == {published.filename, published.base_folder}


def test_an_archive_cut_short_is_named(tmp_path, monkeypatch, server):
    file = tmp_path / publish(monkeypatch, server).filename
    file.write_bytes(server.body[:-10])
    message = str(refusal(tmp_path))
    assert str(file) in message
    assert md5(server.body) in message
    assert md5(server.body[:-10]) in message
    assert "delete it" in message
    assert "data.verify=false" in message
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.parametrize("without", [set(), {"batches.meta"}], ids=["whole", "without names"])
def test_another_archive_put_there_by_hand_is_taken_on_purpose(tmp_path, monkeypatch, server, without):
    published = publish(monkeypatch, server)
    files = {name: data for name, data in pickled(10, protocol=4).items() if name not in without}
    members = {f"{published.base_folder}/{name}": data for name, data in files.items()}
    (tmp_path / published.filename).write_bytes(archive(members | {"readme.html": b"other"}))
    refusal(tmp_path)
    data = load(tmp_path, verify=False)
    assert data.class_names == ([str(label) for label in range(10)] if without else NAMES)
    assert server.requests == 0
    assert set(os.listdir(tmp_path)) == {published.filename, published.base_folder}
    assert set(os.listdir(tmp_path / published.base_folder)) == set(files)


def test_another_archive_is_unpacked_as_safely(tmp_path, monkeypatch, server):
    published = publish(monkeypatch, server)
    path = tmp_path / "sets" / published.filename
    path.parent.mkdir()
    whole = {f"{published.base_folder}/{name}": data for name, data in pickled(10).items()}
    for members, words in (
        (whole | {"../outside": b"out"}, "cannot be unpacked"),
        (
            {name: data for name, data in whole.items() if "batch_3" not in name},
            "lacks cifar-10-batches-py/data_batch_3",
        ),
        ({"readme": b"x"}, "lacks cifar-10-batches-py/data_batch_1"),
    ):
        path.write_bytes(archive(members))
        message = str(refusal(path.parent, verify=False))
        assert message.startswith(f"{path}: {words}")
        assert os.listdir(path.parent) == [path.name]
        assert os.listdir(tmp_path) == ["sets"]


@pytest.mark.parametrize("link", ["cifar-10-batches-py", "cifar-10-batches-py/test_batch"])
def test_links_in_an_archive_are_no_files(tmp_path, monkeypatch, server, link):
    published = publish(monkeypatch, server)
    with tarfile.open(tmp_path / published.filename, "w:gz") as opened:
        for name, data in pickled(10).items():
            info = tarfile.TarInfo(
                f"real/{name}" if link == published.base_folder else f"{published.base_folder}/{name}"
            )
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(link)
        info.type, info.linkname = tarfile.SYMTYPE, "real" if link == published.base_folder else "data_batch_1"
        opened.addfile(info)
    assert "lacks cifar-10-batches-py/" in str(refusal(tmp_path, verify=False))
    assert os.listdir(tmp_path) == [published.filename]


def test_a_download_is_compared_in_any_case(tmp_path, monkeypatch, server):
    published = publish(monkeypatch, server)
    server.body = archive({f"{published.base_folder}/{name}": data for name, data in pickled(10, protocol=4).items()})
    assert f"{published.url}: expected md5" in str(refusal(tmp_path / "data", verify=False))
    check_nothing_left(tmp_path)


def test_missing_files_are_completed(tmp_path, monkeypatch, server):
    folder = write(tmp_path)
    publish(monkeypatch, server)
    kept = (folder / "data_batch_1").stat()
    (folder / "data_batch_3").unlink()
    load(tmp_path)
    assert set(os.listdir(folder)) == set(pickled(10))
    assert (folder / "data_batch_1").stat().st_mtime_ns == kept.st_mtime_ns
    assert os.listdir(tmp_path) == [folder.name]


@pytest.mark.parametrize("damage", ["truncated", "cut", "corrupted"])
def test_a_damaged_download_is_refused(tmp_path, monkeypatch, server, damage):
    published = publish(monkeypatch, server)
    if damage == "cut":
        server.cut = 1000
        found = md5(server.body[:1000])
    else:
        body = bytearray(server.body)
        body[len(body) // 2] ^= 255
        server.body = bytes(body) if damage == "corrupted" else server.body[:1000]
        found = md5(server.body)
    root = tmp_path / "data"
    message = str(refusal(root))
    for words in (published.url, published.tgz_md5, found, published.filename, str(root), "run again"):
        assert words in message
    assert not root.exists()


@pytest.mark.parametrize("trouble", ["404", "no network", "empty answer"])
def test_no_download_says_what_to_do_by_hand(tmp_path, monkeypatch, server, trouble):
    published = publish(monkeypatch, server)
    if trouble == "404":
        server.status = 404
    elif trouble == "no network":
        server.close()
    else:
        monkeypatch.setattr(server.http, "RequestHandlerClass", lambda *_: None)
    root = tmp_path / "data"
    message = str(refusal(root))
    words = [published.url, "cannot be downloaded", str(root / published.base_folder), published.filename, "by hand"]
    assert all(word in message for word in words), message
    assert not root.exists()


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch, server):
    publish(monkeypatch, server)

    def interrupt(items, total, title):
        yield next(items)
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "track", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "data")
    check_nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_interrupted_while_it_waits_leaves_nothing(tmp_path, server):
    server.body, server.cut = b"x" * 5_000_000, 2_000_000
    server.slow.clear()
    program = f"""
        from torchvision.datasets import CIFAR10
        from oponm.data.sources.cifar import CifarLT
        CIFAR10.url = "{server.url}"
        CifarLT("data").setup()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("data/.cifar-*/*.tar.gz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("data/.cifar-*/*.tar.gz"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    finally:
        process.kill()
    check_nothing_left(tmp_path)


def test_two_downloads_at_once_do_not_disturb_each_other(tmp_path, monkeypatch, server):
    publish(monkeypatch, server)
    meeting, rename = threading.Barrier(2, timeout=30), Path.rename

    def rename_together(path, target):
        meeting.wait()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_together)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: load(tmp_path), range(2))
    assert torch.equal(first.train_set.images, second.train_set.images)
    assert server.requests == 2
    assert os.listdir(tmp_path) == [CIFAR10.base_folder]


@pytest.mark.parametrize("escape", ["../outside", "../../outside", "cifar-10-batches-py/../../outside"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path, monkeypatch, server, escape):
    publish(monkeypatch, server, members={escape: b"out"})
    message = str(refusal(tmp_path / "data"))
    assert "cannot be unpacked" in message
    assert "outside" in message
    check_nothing_left(tmp_path)


def test_absolute_paths_in_an_archive_lead_nowhere(tmp_path, monkeypatch, server):
    publish(monkeypatch, server, members={str(tmp_path / "outside"): b"out"})
    load(tmp_path / "data")
    assert os.listdir(tmp_path) == ["data"]
    assert os.listdir(tmp_path / "data") == [CIFAR10.base_folder]


def test_an_archive_with_a_link_outside_is_refused(tmp_path, monkeypatch, server):
    published = publish(monkeypatch, server)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        info = tarfile.TarInfo(f"{published.base_folder}/test_batch")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(info)
    server.body = buffer.getvalue()
    monkeypatch.setattr(published, "tgz_md5", md5(server.body))
    assert "cannot be unpacked" in str(refusal(tmp_path / "data"))
    check_nothing_left(tmp_path)


@pytest.mark.parametrize(
    "body", [b"", b"<html>sign in</html>", archive({"readme": b"x"})], ids=["empty", "page", "other"]
)
def test_an_archive_of_something_else_is_refused(tmp_path, monkeypatch, server, body):
    published = publish(monkeypatch, server)
    server.body = body
    monkeypatch.setattr(published, "tgz_md5", md5(body))
    assert published.url in str(refusal(tmp_path / "data"))
    check_nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_file_of_an_archive_with_another_checksum_is_refused(tmp_path, monkeypatch, server, name):
    published = publish(monkeypatch, server)
    altered = pickled(10) | {name: b"other"}
    server.body = archive({f"{published.base_folder}/{file}": data for file, data in altered.items()})
    monkeypatch.setattr(published, "tgz_md5", md5(server.body))
    message = str(refusal(tmp_path / "data"))
    assert name in message
    assert md5(b"other") in message
    check_nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_another_checksum_is_refused_unless_on_purpose(tmp_path, monkeypatch, name):
    publish(monkeypatch, None)
    folder = write(tmp_path)
    altered = pickle.dumps(contents(10)[name] | {"more": 1})
    (folder / name).write_bytes(altered)
    message = str(refusal(tmp_path))
    for words in (str(folder / name), md5(altered), md5(pickled(10)[name]), "data.verify=false"):
        assert words in message
    assert load(tmp_path, verify=False).class_names == NAMES
    assert (folder / name).read_bytes() == altered


def test_only_without_checks_are_classes_numbered(tmp_path, monkeypatch):
    publish(monkeypatch, None)
    (write(tmp_path) / "batches.meta").unlink()
    assert load(tmp_path, verify=False).class_names == [str(i) for i in range(10)]
    error = refusal(tmp_path, download=False)
    assert error.key == "root"
    assert "batches.meta" in error.message


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["data_batch_5", "test_batch"])
def test_missing_files_are_named_where_nothing_is_downloaded(tmp_path, name, verify):
    folder = write(tmp_path)
    (folder / name).unlink()
    error = refusal(tmp_path, download=False, verify=verify)
    assert error.key == "root"
    for words in (str(folder / name), "data.download=true", "cifar-10-python.tar.gz"):
        assert words in error.message


def test_a_root_that_is_missing_or_a_file_is_named(tmp_path):
    assert refusal(tmp_path / "none", download=False).key == "root"
    (tmp_path / "file").write_text("x")
    error = refusal(tmp_path / "file")
    assert error.key == "root"
    assert "is not a folder" in error.message


def test_a_root_that_cannot_be_written_is_named(tmp_path, monkeypatch, server):
    publish(monkeypatch, server)
    (tmp_path / "file").write_text("x")
    error = refusal(tmp_path / "file" / "data")
    assert error.key == "root"
    assert "cannot be written" in error.message
    assert server.requests == 0


class Trap:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
@pytest.mark.parametrize("function", ["mkdir", "eval", "getattr"])
def test_a_pickle_that_asks_for_more_is_not_run(tmp_path, name, protocol, function):
    sign = tmp_path / "sprung"
    traps = {
        "mkdir": Trap(os.mkdir, str(sign)),
        "eval": Trap(eval, f"open({str(sign)!r}, 'w')"),
        "getattr": Trap(getattr, np.ndarray, "tofile"),
    }
    folder = write(tmp_path, 10, pickled(10) | {name: pickle.dumps({"data": traps[function]}, protocol)})
    message = str(refusal(tmp_path, verify=False))
    assert message.startswith(f"{folder / name}: is refused, as reading it would call ")
    assert function in message
    assert not sign.exists()


@pytest.mark.parametrize(
    "globals_", [b"cnumpy\nload\n", b"cnumpy.core\nos\n", b"cnumpy\ndtype.type\n", b"cos\nsys\x1b[2J\n"]
)
def test_other_names_of_allowed_modules_are_refused(tmp_path, globals_):
    write(tmp_path, 10, pickled(10) | {"test_batch": globals_ + b"."})
    message = str(refusal(tmp_path, verify=False))
    assert "reading it would call" in message
    assert message.isprintable()


BATCH = contents(10)["test_batch"]
DAMAGED = {
    "nothing": b"",
    "text": b"hello\n",
    "cut": pickled(10)["test_batch"][:-500],
    "claims to be huge": b"\x80\x04\x8e" + b"\xff" * 8 + b".",
    "codec": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00nonetR.",
    "list": pickle.dumps([1]),
    "no pixels": pickle.dumps({"labels": BATCH["labels"]}),
    "pixels are a list": pickle.dumps(BATCH | {"data": [1, 2]}),
    "floats": pickle.dumps(BATCH | {"data": BATCH["data"].astype(np.float32)}),
    "grey": pickle.dumps(BATCH | {"data": BATCH["data"][:, :1024]}),
    "one number": pickle.dumps(BATCH | {"data": np.array(3, dtype=np.uint8)}),
    "no labels": pickle.dumps({"data": BATCH["data"]}),
    "fine labels": pickle.dumps({"data": BATCH["data"], "fine_labels": BATCH["labels"]}),
    "too few labels": pickle.dumps(BATCH | {"labels": BATCH["labels"][1:]}),
    "a label too large": pickle.dumps(BATCH | {"labels": [10, *BATCH["labels"][1:]]}),
    "a label below zero": pickle.dumps(BATCH | {"labels": [-1, *BATCH["labels"][1:]]}),
    "ragged labels": pickle.dumps(BATCH | {"labels": [[1, 2], *BATCH["labels"][1:]]}),
    "labels are names": pickle.dumps(BATCH | {"labels": ["1"] * len(BATCH["labels"])}),
    "objects": pickle.dumps(BATCH | {"data": np.array([None])}),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, damage):
    folder = write(tmp_path, 10, pickled(10) | {"test_batch": DAMAGED[damage]})
    message = str(refusal(tmp_path, verify=False))
    assert message.startswith(f"{folder / 'test_batch'}: ")
    assert "replace it" in message


@pytest.mark.parametrize("names", [None, NAMES[:9], [1] * 10, "0123456789"], ids=str)
def test_damaged_names_are_refused(tmp_path, names):
    folder = write(tmp_path, 10, pickled(10) | {"batches.meta": pickle.dumps({"label_names": names})})
    assert str(refusal(tmp_path, verify=False)).startswith(f"{folder / 'batches.meta'}: ")


def test_labels_may_be_an_array(tmp_path):
    write(tmp_path, 10, pickled(10) | {"test_batch": pickle.dumps(BATCH | {"labels": np.array(BATCH["labels"])})})
    assert load(tmp_path, verify=False).test_set.targets.tolist() == BATCH["labels"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"num_classes": 20}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": "10"}, "num_classes"),
        ({"download": "no"}, "download"),
        ({"verify": None}, "verify"),
    ],
    ids=str,
)
def test_bad_values_are_refused(tmp_path, options, key):
    assert refusal(tmp_path, **options).key == key


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "sets")
    assert load(Path("~/sets"), verify=False).class_names == NAMES


def test_the_published_subset(original):
    data = load(original, imbalance_ratio=100, verify=False)
    assert data.class_counts == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert len(data.train_set.images) == sum(data.class_counts) == 12406
    assert data.test_counts == [1000] * 10
    assert data.digest == GOLDEN["cifar10", "ldam"]
    assert data.class_names == NAMES


def test_the_whole_set_has_the_published_statistics(original):
    data = load(original, verify=False)
    assert data.class_counts == [5000] * 10
    assert data.statistics.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.004)
    assert data.statistics.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=0.006)


def test_other_files_than_the_published_ones_are_noticed(original):
    assert "data_batch_1: expected md5 c99cafc152244af753f735de768cd75f, found " in str(refusal(original))


def test_a_survey_tells_what_is_there_and_what_is_wrong(tmp_path, monkeypatch):
    publish(monkeypatch, None)
    folder = write(tmp_path)
    assert CifarLT(tmp_path).survey().problems == []
    assert sum("as published" in line for line in CifarLT(tmp_path).survey().findings) == 7
    (folder / "data_batch_2").write_bytes(b"other")
    (folder / "data_batch_4").unlink()
    (folder / "batches.meta").unlink()
    survey = CifarLT(tmp_path).survey()
    assert len(survey.findings) == 6
    wrong, missing = (error.message for error in survey.problems)
    assert wrong.startswith(f"{folder / 'data_batch_2'}: expected md5")
    assert missing.startswith(f"{folder} lacks 2 of 7 files, data_batch_4, batches.meta: run 'oponm data prepare'")
    assert [error.message[:20] for error in CifarLT(tmp_path, verify=False).survey().problems] == [str(folder)[:20]]


def test_a_survey_downloads_and_unpacks_nothing(tmp_path, server, monkeypatch):
    published = publish(monkeypatch, server)
    survey = CifarLT(tmp_path / "sets").survey()
    assert "data.download=true" in survey.problems[0].message
    assert not (tmp_path / "sets").exists()
    assert server.requests == 0
    (tmp_path / published.filename).write_bytes(server.body)
    assert f"to unpack {tmp_path / published.filename}" in CifarLT(tmp_path).survey().problems[0].message
    assert [file.name for file in tmp_path.iterdir()] == [published.filename]
