from __future__ import annotations

import errno

from oponm.cli.errors import explain, is_bad_input
from oponm.errors import InputError


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
