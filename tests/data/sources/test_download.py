from __future__ import annotations

import hashlib

import pytest

from oponm.data.sources.download import check_hash
from oponm.errors import InputError


@pytest.mark.parametrize("content", [b"", b"train/cat/1.jpg 0\n", bytes(range(256)) * 400])
def test_hashes(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    git = hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content).hexdigest()
    for name, found in (("md5", md5), ("git blob sha1", git)):
        check_hash(path, found, "")
        with pytest.raises(InputError) as error:
            check_hash(path, "0" * len(found), "get it again", "its archive")
        assert error.value.message == f"its archive: expected {name} {'0' * len(found)}, found {found}: get it again"


def test_the_hash_is_git_s(tmp_path):
    (tmp_path / "list.txt").write_text("hello\n")
    check_hash(tmp_path / "list.txt", "ce013625030ba8dba906f756967f9e9ca394464a", "get it again")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        check_hash(tmp_path / "none.txt", "0" * 40, "get it again")
