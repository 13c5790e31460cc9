from __future__ import annotations

import errno
import os

from oponm.cli.errors import explain, is_bad_input
from oponm.errors import InputError
from tests.cli.command import oponm


def test_a_full_disk_is_said_in_one_line_though_no_file_is_named():
    error = OSError(errno.ENOSPC, "No space left on device")
    assert is_bad_input(error)
    assert "No space left" in explain(error)
    assert "make room" in explain(error)


def test_defects_are_named_with_their_kind_and_what_is_expected_without():
    assert explain(RuntimeError("out of\nmemory")) == "RuntimeError: out of memory"
    assert explain(InputError("must be 1", "key")) == "key must be 1"
    assert explain(ChildProcessError("process 1 ended")) == "process 1 ended"
    assert not is_bad_input(OSError(errno.EPIPE, "Broken pipe"))


def test_a_file_that_a_library_could_not_open_is_named():
    """As the log of a run whose folder cannot be written."""
    error = ValueError("Unable to configure handler 'file'")
    error.__cause__ = OSError(errno.EROFS, os.strerror(errno.EROFS), "/runs/run.log")
    assert is_bad_input(error)
    assert explain(error) == "/runs/run.log: Read-only file system"


def test_an_empty_folder_of_data_sets_is_refused(tmp_path):
    done = oponm("data", "check", "data=celeba5", cwd=tmp_path, OPONM_DATA="")
    assert done.returncode == 2
    assert done.stderr == "oponm: OPONM_DATA is empty: name a file or folder (. is the current one)\n"
