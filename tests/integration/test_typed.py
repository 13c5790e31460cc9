from __future__ import annotations

from importlib.resources import files


def test_type_checkers_of_others_read_the_annotations():
    assert files("oponm").joinpath("py.typed").is_file()
